"""From what people type to what the plan knows: names of packages and stages, and the results behind them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..building import schedule
from ..building.builders import package_file
from ..building.repository import TOOLS, Repository, install, publish
from ..config import Config
from ..containers.layers import compose
from ..recipes.plan import Plan
from ..recipes.recipe import STAGES, load_recipe
from ..storage.store import Entry
from . import live


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
    return _layers(config, inside, Plan.from_recipes(config).tools)


def published(config: Config) -> Repository:
    """The signed repository of all packages; what is missing is built."""
    return _published(config, _layers(config, TOOLS, ()))


def installed(config: Config) -> tuple[Repository, Path]:
    """The repository, and a system on which all of its packages are installed."""
    layers = _layers(config, TOOLS, ())
    repository = _published(config, layers)
    return repository, install(config, repository, sorted(repository.files), layers)


def _published(config: Config, layers: Sequence[Path]) -> Repository:
    graph = Plan.from_recipes(config)
    ids = ids_of(graph, ["packages"])
    entries = built(config, graph, ids)
    return publish(config, [entries[id] for id in ids], layers)


def _layers(config: Config, inside: str | Sequence[str], tools: Sequence[str]) -> list[Path]:
    graph = Plan.from_recipes(config)
    names = [inside] if isinstance(inside, str) else list(inside)
    packages = graph.stack(name for name in names if name != "temptools")
    providers = {name: graph.provider(name) for name in packages}
    entries = built(config, graph, [*providers.values(), *graph.tools])
    return compose(
        config,
        [package_file(entries[provider], name) for name, provider in providers.items()],
        [entries[tool].tree for tool in tools],
        entries["temptools/pacman"].tree / "mere" / "bin" / "pacman",
    )


def built(config: Config, graph: Plan, ids: Iterable[str]) -> dict[str, Entry]:
    """The results of these ids and of all they need; what is missing is built, and shown while it is."""
    with live.watching(config) as watch:
        return schedule.run(config, ids, watch=watch, plan=graph)
