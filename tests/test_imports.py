"""One direction of imports: each module of the library uses those before it, and the builder needs Python alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import mere_helpers

LIBRARY = Path(mere_helpers.__file__).parent

#: Modules and directories, each of which uses only those before it.
ORDER = (
    *("text", "errors", "frontend", "files", "marker", "config", "locks", "process"),
    *("planning", "fetching", "store", "sandbox", "host", "building", "progress", "verify", "session"),
    *("press", "cli", "__init__", "__main__"),
)

#: What makes Linux; all else is the press, which may use other libraries, and import when it is asked for something.
BUILDER = ORDER[: ORDER.index("press")]

#: The modules of the library by their names, such as ``store.entry``.
MODULES = {".".join(path.relative_to(LIBRARY).with_suffix("").parts): path for path in sorted(LIBRARY.rglob("*.py"))}


def _place(name: str) -> int:
    return ORDER.index(name.partition(".")[0])


@cache
def _imports(name: str, *, lazy: bool = True) -> frozenset[str]:
    """The modules of the library that one imports; those that it imports in functions only if they count."""
    tree = ast.parse(MODULES[name].read_text())
    found = {target for node in _nodes(tree, lazy) for target in _targets(name, node)}
    return frozenset(found - {name})


def _nodes(tree: ast.AST, lazy: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        yield node
        if lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _nodes(node, lazy)


def _targets(name: str, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        paths = [alias.name for alias in node.names if alias.name.partition(".")[0] == LIBRARY.name]
        yield from (_module(path.partition(".")[2], "") for path in paths)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            base = ".".join([*name.split(".")[: -node.level], *filter(None, [node.module])])
        elif base.partition(".")[0] == LIBRARY.name:
            base = base.partition(".")[2]
        else:
            return
        yield from (_module(base, alias.name) for alias in node.names)


def _module(base: str, name: str) -> str:
    """The module that ``from base import name`` is about: one of that name, or the one or the package it comes from."""
    candidates = (".".join(filter(None, parts)) for parts in ((base, name), (base,), (base, "__init__")))
    return next(candidate for candidate in candidates if candidate in MODULES)


def test_every_module_has_its_place() -> None:
    assert {name.partition(".")[0] for name in MODULES} <= set(ORDER)
    assert not [name for name in ORDER if not any(module.partition(".")[0] == name for module in MODULES)]


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_imported_from_further_down(name: str) -> None:
    lazy = name.partition(".")[0] in BUILDER
    assert sorted(target for target in _imports(name, lazy=lazy) if _place(target) > _place(name)) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter({name: _imports(name, lazy=name.partition(".")[0] in BUILDER) for name in MODULES}).prepare()


def test_the_builder_needs_nothing_but_the_standard_library() -> None:
    # What lies in no package is a program of its own.
    builder = [name for name in MODULES if name.partition(".")[0] in BUILDER]
    names = [name.removesuffix(".__init__") for name in builder if MODULES[name].with_name("__init__.py").is_file()]
    script = """
import importlib, sys
before = {name.partition(".")[0] for name in sys.modules}
for name in sys.argv[1:]:
    importlib.import_module(f"mere_helpers.{name}")
after = {name.partition(".")[0] for name in sys.modules}
print(*sorted(after - before - sys.stdlib_module_names - {"mere_helpers"}))
"""
    command = [sys.executable, "-c", script, *names]
    done = subprocess.run(command, cwd=LIBRARY.parent, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
