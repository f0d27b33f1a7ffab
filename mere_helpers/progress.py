"""Progress of work that goes on, in lines: never a part of a cell's output, and nothing where nobody reads it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TextIO

from .building.costs import Event, Watch, print_watch
from .config import Config
from .fetching.cache import FetchEvent, print_progress
from .frontend import in_kernel
from .text import size


class Progress:
    """How a session shows what it does: each method gives what is told of events, for the time of a block.

    Here it is a line for each build that ends and for each file that comes.
    """

    def builds(self, config: Config) -> AbstractContextManager[Watch]:
        """For the schedule."""
        return _lines(_tell)

    def fetches(self) -> AbstractContextManager[Callable[[FetchEvent], None]]:
        """For `fetch`."""
        return _lines(_tell_of_file) if in_kernel() else nullcontext(print_progress)


@contextmanager
def _lines(tell: Callable[[Any, TextIO], None]) -> Iterator[Callable[[Any], None]]:
    """Lines go to whoever runs the book, by a pipe; to standard error of a shell; nowhere in a kernel."""
    if channel := os.environ.get("MERE_PROGRESS"):
        with open(channel, "w", buffering=1, encoding="utf-8") as file:
            yield lambda event: tell(event, file)
    else:
        yield (lambda event: None) if in_kernel() else lambda event: tell(event, sys.stderr)


def _tell(event: Event, file: TextIO) -> None:
    # What was found needs no line: a second run of the book would print nothing else.
    if event.kind != "found":
        print_watch(event, file=file)


def _tell_of_file(event: FetchEvent, file: TextIO) -> None:
    if event.kind in ("done", "failed"):
        verb = "fetched" if event.kind == "done" else "FAILED "
        print(f"{verb} {event.name} {size(event.bytes)}", file=file, flush=True)
