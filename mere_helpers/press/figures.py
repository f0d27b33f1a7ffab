"""The words of the cells that tell what a run cost, and draw it."""

from __future__ import annotations

from ..building.recorded import recorded_run
from ..planning.plan import ROUNDS
from ..text import size
from . import charts
from .bench import container_seconds
from .book import growth
from .default import session
from .drawing import Figure
from .table import Table


def cost(*names: str) -> Table:
    """What builds or whole stages cost in the run that this book tells of: see ``book/run.json``.

    The SBU is the unit of Linux From Scratch: the time that the first binutils takes, here in processor time.
    """
    run = recorded_run(session().config)
    ids = session().resolve(names)
    rows = [(id, run.cpu_s([id]), run.builds[id].peak_bytes) for id in ids]
    if len(rows) > 1:
        rows.append(("in all", run.cpu_s(ids), max(run.builds[id].peak_bytes for id in ids)))
    return Table(
        ("build", "processor seconds", "SBU", "memory"),
        tuple((id, f"{cpu_s:,.0f}", f"{cpu_s / run.unit_s:.1f}", size(peak)) for id, cpu_s, peak in rows),
    )


def figure(*names: str, count: int = 100) -> Figure:
    """A picture: what builds or a whole stage cost, or one of those below.

    Parameters
    ----------
    *names : str
        Builds or a stage: their processor time, from ``book/run.json``. Or, alone, ``timeline``: that whole run;
        ``memory``: what it held; ``graph``: the packages and what they need; ``sizes``: sources, packages and what they
        take when installed; ``growth``: the system, chapter by chapter; ``containers``: `count` of them, measured now.
    """
    now = session()
    config, plan = now.config, now.plan
    match names:
        case ("containers",):
            return charts.container_chart(container_seconds(config, now.layers("temptools"), count))
        case ("timeline",):
            return charts.timeline_chart(recorded_run(config), plan)
        case ("memory",):
            return charts.memory_chart(recorded_run(config), plan.order(), "the whole run")
        case ("graph",):
            return charts.dependency_chart(plan, now.resolve([ROUNDS[0]]))
        case ("sizes",):
            return charts.size_chart(*now.sizes())
        case ("growth",):
            return charts.growth_chart(growth(now))
        case _:
            return charts.cost_chart(recorded_run(config), now.resolve(names), ", ".join(names))
