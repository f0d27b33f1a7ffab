"""From what people type to what the plan knows: names of packages and stages, and the results behind them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from graphlib import TopologicalSorter
from pathlib import Path

from . import live, schedule
from .builders import package_file
from .config import Config
from .layers import compose
from .plan import Plan
from .recipe import STAGES, load_recipe
from .store import Entry


def ids_of(graph: Plan, names: Iterable[str]) -> list[str]:
    """Ids for what people type: ids, names of packages, names of stages; without any, everything."""
    wanted: list[str] = []
    for name in names or STAGES:
        if name in STAGES:
            wanted += [id for id in graph.order() if id.startswith(f"{name}/")]
        elif name in graph.recipes:
            wanted.append(name)
        else:
            wanted.append(load_recipe(graph.config, name).id)
    return list(dict.fromkeys(wanted))


def layers_of(config: Config, inside: str | Sequence[str]) -> list[Path]:
    """The root, topmost layer first, of a container with these packages, what they depend on, and the tools."""
    graph = Plan.from_recipes(config)
    names = [inside] if isinstance(inside, str) else list(inside)
    packages = _with_dependencies(graph, [name for name in names if name != "temptools"])
    providers = {name: graph.provider(name) for name in packages}
    entries = built(config, graph, [*providers.values(), *graph.tools])
    return compose(
        config,
        [package_file(entries[provider], name) for name, provider in providers.items()],
        [entries[tool].tree for tool in graph.tools],
        entries["temptools/pacman"].tree / "mere" / "bin" / "pacman",
    )


def built(config: Config, graph: Plan, ids: Iterable[str]) -> dict[str, Entry]:
    """The results of these ids and of all they need; what is missing is built, and shown while it is."""
    with live.watching(config) as watch:
        return schedule.run(config, ids, watch=watch, plan=graph)


def _with_dependencies(graph: Plan, names: Iterable[str]) -> list[str]:
    """These packages and all they need when they are used, each in front of what it needs."""
    needs: dict[str, list[str]] = {}
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in needs:
            depends = graph.recipes[graph.provider(name)].depends[name]
            needs[name] = sorted({re.split("[<>=]", word, maxsplit=1)[0] for word in depends} - {name})
            pending += needs[name]
    return list(reversed([*TopologicalSorter(needs).static_order()]))
