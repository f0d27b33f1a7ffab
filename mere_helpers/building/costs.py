"""What happens in a run, told to whoever watches; and how long it will take, by what earlier runs have cost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TextIO

from ..planning.plan import ROUNDS
from ..store.store import Store

#: Seconds of processor time a build, measured once. Only the order of a machine's first run, and what it says about
#: the time to come, depends on them: later runs know better.
FIRST_GUESSES: Mapping[str, float] = {
    "cross/binutils": 160,
    "cross/gcc": 1700,
    "cross/libstdc++": 120,
    "cross/musl": 50,
    "temptools/bash": 50,
    "temptools/busybox": 70,
    "temptools/libarchive": 45,
    "temptools/zstd": 65,
    "packages/binutils": 130,
    "packages/busybox": 80,
    "packages/gcc": 1800,
    "packages/gmp": 50,
    "packages/libarchive": 50,
    "packages/ncurses": 50,
    "packages/perl": 330,
}

_GUESS = 30.0


@dataclass(frozen=True)
class Event:
    """Something that happened in a run.

    Attributes
    ----------
    kind : str
        ``queued``, ``started``, and then ``found`` (it was in the store), ``built`` or ``failed``.
    seconds : float
        How long it took.
    done, total : int
        Finished builds, and all.
    left_s : float
        About how many seconds are still to come.
    """

    kind: str
    id: str
    seconds: float
    done: int
    total: int
    left_s: float


Watch = Callable[[Event], None]


def print_watch(event: Event, *, file: TextIO | None = None) -> None:
    """Print one line for each build that ends, to standard error unless `file` is given."""
    if event.kind in ("built", "found", "failed"):
        took = f"{event.seconds:6.0f} s" if event.kind != "found" else " " * 8
        left = f", about {event.left_s / 60:.0f} min to come" if event.left_s >= 30 else ""
        line = f"{event.kind:6}  {event.id:24} {took}   {event.done} of {event.total}{left}"
        print(line, file=file or sys.stderr, flush=True)


def costs(store: Store, ids: Iterable[str]) -> dict[str, float]:
    """Processor seconds a build: as it was last time, or as guessed."""
    result = {}
    for id in ids:
        # A later round of a package takes what its first took.
        stage, _, name = id.partition("/")
        first = f"{ROUNDS[0]}/{name}" if stage in ROUNDS else id
        entry = store.latest(id) or store.latest(first)
        result[id] = entry.measures.get("cpu_s", 0.0) if entry else FIRST_GUESSES.get(first, _GUESS)
    return result


def estimate(costs: Mapping[str, float], ids: Iterable[str], spent: Mapping[str, float], jobs: int) -> float:
    """About how many seconds builds that are not finished still need.

    `costs` are processor seconds a build, `spent` the seconds since their start of those that run, `jobs` the
    processors at work.
    """
    return sum(max(0.0, costs[id] - spent.get(id, 0.0)) for id in ids) / jobs
