"""Progress while a cell works: a panel in a front end, lines when nobody looks, never a part of the output."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..building.timeline import Event, Watch, print_watch
from ..config import Config
from ..fetching.source import FetchEvent, print_progress
from ..report import size


class Stopped(KeyboardInterrupt):
    """The reader has stopped a cell: by a button, or by interrupting the kernel. A cell shows one line of it."""

    def _render_traceback_(self) -> list[str]:
        return [f"Stopped: {self}"]


def front_end() -> bool:
    """Whether somebody sees widgets: in Jupyter or an editor, but not under papermill, nbval or a shell."""
    seen = any(os.environ.get(name) for name in ("JPY_SESSION_NAME", "VSCODE_PID"))
    return seen and _in_kernel() and not os.environ.get("MERE_HEADLESS")


@contextmanager
def watching(config: Config) -> Iterator[Watch]:
    """What to hand to the schedule as its `watch`, for the time of the block.

    Raises
    ------
    Stopped
        The block was interrupted while somebody watched; the message says what is kept.
    """
    if front_end():
        from .panel import BuildPanel

        with _shown(BuildPanel(config)) as tell:
            yield tell
    else:
        with _lines() as file:
            yield lambda event: _line(event, file)


@contextmanager
def fetching() -> Iterator[Callable[[FetchEvent], None]]:
    """What to hand to `fetch` as its `progress`, for the time of the block; raises as `watching`."""
    if front_end():
        from .panel import FetchPanel

        with _shown(FetchPanel()) as tell:
            yield tell
    elif _in_kernel():
        with _lines() as file:
            yield lambda event: _fetch_line(event, file)
    else:
        yield print_progress


@contextmanager
def stoppable() -> Iterator[None]:
    """For a word that works without a panel, too: an interrupt of it is one line in a front end; raises as `watching`.

    It goes around a block, or, as a decorator, around a function.
    """
    try:
        yield
    except Stopped:
        raise
    except KeyboardInterrupt:
        if not front_end():
            raise
        raise Stopped("what was under way has been ended. Run the cell again to begin it anew.") from None


@contextmanager
def _shown(panel: Any) -> Iterator[Callable[[Any], None]]:
    """A panel's `tell`, for the time of the block."""
    try:
        yield panel.tell
    except KeyboardInterrupt:
        raise Stopped(panel.kept()) from None
    finally:
        panel.close()


@contextmanager
def _lines() -> Iterator[Any]:
    """Where lines go: to whoever runs the book, by a pipe; to standard error of a shell; nowhere in a kernel."""
    channel = os.environ.get("MERE_PROGRESS")
    if channel:
        with open(channel, "w", buffering=1, encoding="utf-8") as file:
            yield file
    else:
        yield None if _in_kernel() else sys.stderr


def _line(event: Event, file: Any) -> None:
    # What was found needs no line: a second run of the book would print nothing else.
    if file is not None and event.kind != "found":
        print_watch(event, file=file)


def _fetch_line(event: FetchEvent, file: Any) -> None:
    if file is not None and event.kind in ("done", "failed"):
        verb = "fetched" if event.kind == "done" else "FAILED "
        print(f"{verb} {event.name} {size(event.bytes)}", file=file, flush=True)


def _in_kernel() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")
