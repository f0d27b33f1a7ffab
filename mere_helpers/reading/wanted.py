"""From what people type to what the plan knows: names of packages and stages, and the results behind them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..building import schedule
from ..building.builders import installer, package_file
from ..building.layers import compose
from ..building.package_file import package_info
from ..building.repository import TOOLS, Repository, install, publish
from ..config import Config
from ..containers.sandbox import Bind
from ..fetching.source import fetch, source_path
from ..proving.digests import Digests, digests_of
from ..proving.provenance import documents, published_packages
from ..recipes.plan import ROUNDS, Plan
from ..recipes.recipe import Recipe, load_recipe, load_recipes
from ..report import Table
from ..storage.store import Entry, Store
from ..watching import live

#: The round whose packages are published: those that the system has built by itself.
PUBLISHED = ROUNDS[1]


class Sizes(NamedTuple):
    """Bytes, by the name of the recipe.

    Attributes
    ----------
    sources, packages, installed : dict of str to int
        Of its source files, of its packages, and of what these take when they are installed.
    fetched : int
        Of all source files together; one that several recipes share counts once.
    """

    sources: dict[str, int]
    packages: dict[str, int]
    installed: dict[str, int]
    fetched: int


def ids_of(graph: Plan, names: Iterable[str]) -> list[str]:
    """Ids for what people type: ids, names of packages, names of stages; without any, everything."""
    wanted: list[str] = []
    for name in names or graph.stages:
        if name in graph.stages:
            wanted += [id for id in graph.order() if id.startswith(f"{name}/")]
        elif name in graph.recipes:
            wanted.append(name)
        else:
            wanted.append(load_recipe(graph.config, name).id)
    return list(dict.fromkeys(wanted))


def recipes_of(config: Config, names: Sequence[str]) -> list[Recipe]:
    """Recipes for what people type, as for `ids_of`; without any, all there are."""
    if not names:
        return list(load_recipes(config).values())
    graph = Plan.from_recipes(config)
    return [graph.recipes[id] for id in ids_of(graph, names)]


def root_of(config: Config, inside: str | Sequence[str]) -> tuple[list[Path], list[Bind]]:
    """The root of a container, topmost layer first, and what of the host is seen in it.

    ``system`` means the installed system, which sees the repository that it came from; all else is as for `layers_of`.
    """
    if inside == "system":
        found, system = installed(config)
        return [system], [Bind(found.folder, "/repository")]
    return layers_of(config, inside), []


def layers_of(config: Config, inside: str | Sequence[str]) -> list[Path]:
    """The root, topmost layer first, of a container with these packages of round 1, what they depend on, and the tools.

    ``temptools`` means the tools alone, ``rebuild`` the root of the second round: what every build needs, and no tools.
    """
    graph = Plan.from_recipes(config)
    names = [inside] if isinstance(inside, str) else list(inside)
    if names == ["rebuild"]:
        return _layers(config, graph, graph.essential, ROUNDS[0])
    return _layers(config, graph, (name for name in names if name != "temptools"), ROUNDS[0], graph.tools)


def published_entries(config: Config) -> list[Entry]:
    """The results whose packages are published; what is missing is built.

    Raises
    ------
    StoreError
        A package in the store is no longer what it was.
    """
    graph = Plan.from_recipes(config)
    ids = ids_of(graph, [PUBLISHED])
    entries = built(config, graph, ids)
    store = Store(config)
    for id in ids:
        # Sums that are compared with those of others, or signed, are taken from the files.
        store.verify(entries[id])
    return [entries[id] for id in ids]


def published_digests(config: Config) -> Digests:
    """The sums of all sources and of the published packages; what is missing is built."""
    return digests_of(load_recipes(config).values(), published_entries(config))


def published(config: Config) -> Repository:
    """The signed repository of all packages; what is missing is built."""
    return _published(config, Plan.from_recipes(config))[0]


def installed(config: Config) -> tuple[Repository, Path]:
    """The repository, and a system on which all of its packages are installed."""
    repository, layers = _published(config, Plan.from_recipes(config))
    return repository, install(config, repository, sorted(repository.files), layers)


def sizes(config: Config) -> Sizes:
    """What is fetched, packed and installed for each recipe whose packages are published; what is missing is got."""
    graph = Plan.from_recipes(config)
    entries = published_entries(config)
    recipes = [graph.recipes[entry.id] for entry in entries]
    # Whoever took substitutes has no sources yet.
    if lacking := [r for r in recipes if not all(source_path(config, source).is_file() for source in r.sources)]:
        fetched(config, lacking)
    sources, packed, taken = {}, {}, {}
    files: dict[str, int] = {}
    for entry, recipe in zip(entries, recipes, strict=True):
        own = {source.sha256: source_path(config, source).stat().st_size for source in recipe.sources}
        files |= own
        sources[recipe.name] = sum(own.values())
        packed[recipe.name] = sum(output.size for output in entry.outputs.values())
        taken[recipe.name] = sum(int(package_info(entry.tree / name)["size"][0]) for name in entry.outputs)
    return Sizes(sources, packed, taken, sum(files.values()))


def _published(config: Config, graph: Plan) -> tuple[Repository, list[Path]]:
    layers = _layers(config, graph, TOOLS, PUBLISHED)
    entries = published_entries(config)
    papers = documents(published_packages(graph.recipes, entries), config.recipes / "makepkg.conf")
    return publish(config, entries, layers, papers), layers


def _layers(config: Config, graph: Plan, names: Iterable[str], stage: str, tools: Sequence[str] = ()) -> list[Path]:
    """The root of a container with these packages of a round, what they depend on, and these tools."""
    providers = {name: graph.provider(name, stage) for name in graph.stack(names)}
    entries = built(config, graph, [*providers.values(), *tools, graph.installer])
    return compose(
        config,
        [package_file(entries[provider], name) for name, provider in providers.items()],
        [entries[tool].tree for tool in tools],
        installer(graph, entries),
    )


def built(config: Config, graph: Plan, ids: Iterable[str]) -> dict[str, Entry]:
    """The results of these ids and of all they need; what is missing is built, and shown while it is."""
    with live.watching(config) as watch:
        return schedule.run(config, ids, watch=watch, plan=graph)


def fetched(config: Config, recipes: Sequence[Recipe]) -> Table:
    """Bring the sources of these recipes into the cache; each file is verified, and what comes is shown meanwhile."""
    with live.fetching() as progress:
        return fetch(config, recipes, progress)
