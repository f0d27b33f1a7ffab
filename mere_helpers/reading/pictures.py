"""The words of the cells that tell what a run cost, and draw it."""

from __future__ import annotations

from ..config import load_config
from ..drawing import charts
from ..drawing.figure import Figure
from ..drawing.recorded import recorded_run
from ..recipes.plan import ROUNDS, Plan
from ..report import Table, size
from . import wanted
from .bench import container_seconds
from .book import growth
from .wanted import ids_of, layers_of

__all__ = ["cost", "figure"]


def cost(*names: str) -> Table:
    """What builds or whole stages cost in the run that this book tells of: see ``book/run.json``.

    The SBU is the unit of Linux From Scratch: the time that the first binutils takes, here in processor time.
    """
    config = load_config()
    run = recorded_run(config)
    graph = Plan.from_recipes(config)
    ids = ids_of(graph, names)
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
    config = load_config()
    graph = Plan.from_recipes(config)
    match names:
        case ("containers",):
            return charts.container_chart(container_seconds(config, layers_of(config, "temptools"), count))
        case ("timeline",):
            return charts.timeline_chart(recorded_run(config), graph)
        case ("memory",):
            return charts.memory_chart(recorded_run(config), graph.order(), "the whole run")
        case ("graph",):
            return charts.dependency_chart(graph, ids_of(graph, [ROUNDS[0]]))
        case ("sizes",):
            return charts.size_chart(*wanted.sizes(config))
        case ("growth",):
            return charts.growth_chart(growth(config))
        case _:
            return charts.cost_chart(recorded_run(config), ids_of(graph, names), ", ".join(names))
