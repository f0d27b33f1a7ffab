"""mere: a small musl system, built from source by the chapters of a book.

The notebooks import their words from here. A word is looked up when it is asked for: who only builds packages needs
nothing but Python's standard library.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WORDS = {
    "press.words": (
        *("build", "check_host", "contents", "expect_error", "fetch", "install"),
        *("ready", "repository", "run", "tamper", "write"),
    ),
    "press.show": ("log", "plan", "show", "sources", "workarounds"),
    "press.evidence": ("compare", "digests", "proofs", "provenance", "verdict"),
    "press.figures": ("cost", "figure"),
    "press.userland": ("commands", "userland", "uses", "whose"),
    "press.widgets.interactive": ("board", "console", "explorer", "picker"),
}

_MODULES = {word: module for module, words in _WORDS.items() for word in words}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
