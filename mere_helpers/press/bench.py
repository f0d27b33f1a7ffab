"""What everything in the store cost when it was built, and how well the machine was used."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from ..config import Config
from ..errors import ContainerError
from ..sandbox.sandbox import Sandbox
from ..session import Session
from .table import Table

#: Containers that are made for the median.
CONTAINERS = 25


def bench(now: Session) -> Table:
    """What was measured while the present contents of the store were built.

    The wall time is that during which at least one build ran, over all runs together.
    """
    plan = now.plan
    entries = now.present(plan.order())
    rows = [("builds in the store", f"{len(entries)} of {len(plan.order())}")]
    timed = {id: entry.measures for id, entry in entries.items() if "started" in entry.measures}
    for what, again in (("up to round 1", False), ("rebuild", True)):
        measures = [m for id, m in timed.items() if bool(plan.reference(id)) is again]
        if cpu := sum(m["cpu_s"] for m in measures):
            wall = covered((m["started"], m["ended"]) for m in measures)
            cores = now.config.jobs
            rows.append((f"{what}: wall time", f"{wall:,.0f} s"))
            rows.append((f"{what}: processor time", f"{cpu:,.0f} s"))
            rows.append((f"{what}: wall ÷ (processor time ÷ {cores} cores)", f"{wall / (cpu / cores):.2f}"))
    overheads = [entry.measures.get("overhead_s", 0.0) for id, entry in entries.items() if plan.recipes[id].packages]
    if overheads:
        rows.append(("overhead a package, median", f"{median(overheads):.2f} s"))
    costs = sorted(((entry.measures.get("cpu_s", 0.0), id) for id, entry in entries.items()), reverse=True)
    rows += [(f"{id}, processor time", f"{cost:,.0f} s") for cost, id in costs[:5]]
    if all(tool in entries for tool in (plan.installer, *plan.tools)):
        times = container_seconds(now.config, now.layers("temptools"), CONTAINERS)
        rows.append(("container made, used, gone, median", f"{median(times):.3f} s"))
    return Table(("figure", "measured"), tuple(rows))


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
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
