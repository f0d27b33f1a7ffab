"""The figures of the recorded runs: what everything in the store cost, and how well the machine was used."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from ..building.schedule import found
from ..config import Config
from ..containers.sandbox import Sandbox
from ..errors import ContainerError
from ..recipes.plan import Plan
from ..report import Table, size
from ..storage.store import Entry
from .wanted import layers_of

#: Containers that are made for the median.
CONTAINERS = 25


def bench(config: Config) -> Table:
    """What was measured while the present contents of the store were built.

    Times are in seconds. The wall time is that during which at least one build ran, over all runs together; memory is
    the largest sum of the peaks of builds that ran side by side, which is more than was ever used at once.
    """
    graph = Plan.from_recipes(config)
    entries = found(config, graph.order(), plan=graph)
    rows = [("builds in the store", f"{len(entries)} of {len(graph.order())}")]
    timed = {id: entry.measures for id, entry in entries.items() if "started" in entry.measures}
    again = [measures for id, measures in timed.items() if graph.reference(id)]
    rows += _use_rows("up to round 1", [m for id, m in timed.items() if not graph.reference(id)], config.jobs)
    rows += _use_rows("rebuild", again, config.jobs)
    if timed:
        rows.append(("peak memory, at most", size(int(peak(list(timed.values()))))))
    overheads = [entry.measures.get("overhead_s", 0.0) for id, entry in entries.items() if graph.recipes[id].packages]
    if overheads:
        rows.append(("overhead a package, median", f"{median(overheads):.2f} s"))
    rows += [(f"{name}, processor time", f"{cost:,.0f} s") for name, cost in _dearest(entries)]
    if all(tool in entries for tool in (graph.installer, *graph.tools)):
        times = container_seconds(config, layers_of(config, "temptools"), CONTAINERS)
        rows.append(("container made, used, gone, median", f"{median(times):.3f} s"))
    rows += _book_rows(config)
    return Table(("figure", "measured"), tuple(rows))


def _use_rows(what: str, measures: Sequence[dict[str, float]], cores: int) -> list[tuple[str, str]]:
    wall = covered((m["started"], m["ended"]) for m in measures)
    cpu = sum(m["cpu_s"] for m in measures)
    if not cpu:
        return []
    return [
        (f"{what}: wall time", f"{wall:,.0f} s"),
        (f"{what}: processor time", f"{cpu:,.0f} s"),
        (f"{what}: wall ÷ (processor time ÷ {cores} cores)", f"{wall / (cpu / cores):.2f}"),
    ]


def container_seconds(config: Config, layers: Sequence[Path], count: int) -> list[float]:
    """How long it takes to make a container, run ``true`` in it and take it down, in seconds, `count` times.

    Raises
    ------
    ContainerError
        A container could not be made, or ``true`` was not what ran in it.
    """
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        with Sandbox(config, layers) as container:
            ended = container.run(["true"])
        seconds.append(time.perf_counter() - began)
        if ended.code:
            raise ContainerError(f"true ended with status {ended.code} in a container")
    return seconds


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of a union of spans, in their unit."""
    total = 0.0
    reached = float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def peak(measures: Sequence[dict[str, float]]) -> float:
    """The largest sum of ``peak_bytes`` of builds that overlap in time."""
    changes = []
    for measure in measures:
        changes += [(measure["started"], measure["peak_bytes"]), (measure["ended"], -measure["peak_bytes"])]
    # At equal times what ends comes before what starts.
    held = most = 0.0
    for _, change in sorted(changes):
        held += change
        most = max(most, held)
    return most


def record_book(config: Config, started: float, ended: float, chapters: int) -> None:
    """Remember a run of the book, for `bench`; times are in seconds since 1970."""
    with suppress(OSError):
        path = config.store / "book.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps({"started": started, "ended": ended, "chapters": chapters}) + "\n")


def _dearest(entries: dict[str, Entry], count: int = 5) -> list[tuple[str, float]]:
    costs = [(id, entry.measures.get("cpu_s", 0.0)) for id, entry in entries.items()]
    return sorted(costs, key=lambda item: -item[1])[:count]


def _book_rows(config: Config) -> list[tuple[str, str]]:
    runs: list[dict[str, Any]] = []
    with suppress(OSError, ValueError):
        runs = [json.loads(line) for line in (config.store / "book.jsonl").read_text().splitlines()]
    whole = max((run["chapters"] for run in runs), default=0)
    times = [run["ended"] - run["started"] for run in runs if run["chapters"] == whole]
    if not times:
        return []
    return [("first run of the book", f"{times[0]:,.0f} s"), ("last run of the book", f"{times[-1]:,.0f} s")]
