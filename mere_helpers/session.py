"""A session: the recipes of a checkout, a store and the sources, and what people want of them, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from .building import scheduler
from .building.builders import installer, package_file
from .building.layers import compose
from .building.package_file import package_info
from .building.repository import TOOLS, Repository, install, publish
from .config import Config
from .fetching.cache import FetchedFile, fetch, source_path
from .planning.plan import ROUNDS, Plan
from .planning.recipe import Recipe, load_recipe, load_recipes
from .progress import Progress
from .sandbox.sandbox import Bind
from .store.store import Entry, Store
from .verify.digests import Digests, digests_of
from .verify.provenance import documents, published_packages

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


class Session:
    """What a cell, a command or a test does with one configuration.

    Parameters
    ----------
    config : Config
        The settings.
    progress : Progress, optional
        How work that goes on is shown; by default in lines.
    rounds : int, optional
        How many rounds of packages are planned.
    on_use : callable, optional
        Told of the ids whose results are asked for.
    """

    def __init__(
        self,
        config: Config,
        progress: Progress | None = None,
        *,
        rounds: int = 2,
        on_use: Callable[[list[str]], None] = lambda ids: None,
    ) -> None:
        self.config = config
        self.on_use = on_use
        self.progress = progress or Progress()
        self._rounds = rounds
        self._planned: tuple[frozenset[tuple[str, int, int]], Plan] | None = None

    def with_rounds(self, rounds: int) -> Session:
        """The same with so many rounds of packages."""
        return Session(self.config, self.progress, rounds=rounds, on_use=self.on_use)

    @property
    def plan(self) -> Plan:
        """The plan by the recipes as they are now: a reader changes them between two cells."""
        stamp = frozenset(
            (str(path), state.st_mtime_ns, state.st_size)
            for path in self.config.recipes.rglob("*")
            if not path.is_dir() and (state := path.lstat())
        )
        if self._planned is None or self._planned[0] != stamp:
            self._planned = stamp, Plan.from_recipes(self.config, rounds=self._rounds)
        return self._planned[1]

    @cached_property
    def store(self) -> Store:
        """What is built."""
        return Store(self.config)

    def recipe(self, name: str) -> Recipe:
        """The recipe with this id or name, or that makes the package of this name."""
        return load_recipe(self.config, name)

    def recipes(self, names: Iterable[str] = ()) -> list[Recipe]:
        """Recipes for what people type, as for `resolve`; without any, all there are."""
        if not names:
            return list(load_recipes(self.config).values())
        return [self.plan.recipes[id] for id in self.resolve(names)]

    def resolve(self, names: Iterable[str]) -> list[str]:
        """Ids for what people type: ids, names of packages, names of stages; without any, everything."""
        plan = self.plan
        ids: list[str] = []
        for name in names or plan.stages:
            if name in plan.stages:
                ids += [id for id in plan.order() if id.startswith(f"{name}/")]
            else:
                ids.append(name if name in plan.recipes else self.recipe(name).id)
        return list(dict.fromkeys(ids))

    def present(self, ids: Iterable[str]) -> dict[str, Entry]:
        """What of these ids, and of all they need, is in the store; nothing is built."""
        return scheduler.found(self.config, ids, plan=self.plan)

    def offered(self, ids: Iterable[str]) -> set[str]:
        """What of these ids, and of all they need, is missing and among the substitutes; nothing is taken."""
        return scheduler.offered(self.config, ids, plan=self.plan)

    def ensure_fetched(self, recipes: Sequence[Recipe]) -> list[FetchedFile]:
        """Bring the sources of these recipes into the cache; each file is verified."""
        with self.progress.fetches() as tell:
            return fetch(self.config, recipes, tell)

    def ensure_sources(self, ids: Iterable[str]) -> None:
        """Fetch what those among these builds, and among all that they need, are made from which have to be built."""
        ids = list(ids)
        there = {*self.present(ids), *self.offered(ids)}
        if missing := [id for id in self.plan.closure(ids) if id not in there]:
            self.ensure_fetched([self.plan.recipes[id] for id in missing])

    def ensure_built(self, ids: Iterable[str], *, use: bool = True) -> dict[str, Entry]:
        """The results of these ids and of all they need; what is missing is built. Without `use` nobody is told."""
        ids = list(ids)
        if use:
            self.on_use(ids)
        with self.progress.builds(self.config) as tell:
            return scheduler.run(self.config, ids, watch=tell, plan=self.plan)

    def root(self, inside: str | Sequence[str]) -> tuple[list[Path], list[Bind]]:
        """The root of a sandbox, topmost layer first, and what of the host is seen in it.

        ``system`` means the installed system, which sees the repository that it came from; all else is as for `layers`.
        """
        if inside == "system":
            repository, system = self.install()
            return [system], [Bind(repository.folder, "/repository")]
        return self.layers(inside), []

    def layers(self, inside: str | Sequence[str]) -> list[Path]:
        """The root, topmost first, of a sandbox with these packages of round 1, what they depend on, and the tools.

        ``temptools`` means the tools alone, ``rebuild`` the root of the second round: what every build needs, no tools.
        """
        names = [inside] if isinstance(inside, str) else list(inside)
        if names == ["rebuild"]:
            return self._layers(self.plan.essential, ROUNDS[0])
        return self._layers((name for name in names if name != "temptools"), ROUNDS[0], self.plan.tools)

    def published_entries(self) -> list[Entry]:
        """The results whose packages are published; what is missing is built.

        Raises
        ------
        StoreError
            A package in the store is no longer what it was.
        """
        ids = self.resolve([PUBLISHED])
        entries = self.ensure_built(ids)
        for id in ids:
            # Sums that are compared with those of others, or signed, are taken from the files.
            self.store.verify(entries[id])
        return [entries[id] for id in ids]

    def digests(self) -> Digests:
        """The sums of all sources and of the published packages; what is missing is built."""
        return digests_of(self.recipes(), self.published_entries())

    def publish(self) -> Repository:
        """The signed repository of all packages; what is missing is built."""
        return self._publish()[0]

    def install(self) -> tuple[Repository, Path]:
        """The repository, and a system on which all of its packages are installed."""
        repository, layers = self._publish()
        return repository, install(self.config, repository, sorted(repository.files), layers)

    def sizes(self) -> Sizes:
        """What is fetched, packed and installed for each recipe whose packages are published."""
        entries = self.published_entries()
        recipes = [self.plan.recipes[entry.id] for entry in entries]
        # Whoever took substitutes has no sources yet.
        if lacking := [r for r in recipes if not all(source_path(self.config, s).is_file() for s in r.sources)]:
            self.ensure_fetched(lacking)
        sources, packed, taken = {}, {}, {}
        files: dict[str, int] = {}
        for entry, recipe in zip(entries, recipes, strict=True):
            own = {source.sha256: source_path(self.config, source).stat().st_size for source in recipe.sources}
            files |= own
            sources[recipe.name] = sum(own.values())
            packed[recipe.name] = sum(output.size for output in entry.outputs.values())
            taken[recipe.name] = sum(int(package_info(entry.tree / name)["size"][0]) for name in entry.outputs)
        return Sizes(sources, packed, taken, sum(files.values()))

    def _publish(self) -> tuple[Repository, list[Path]]:
        layers = self._layers(TOOLS, PUBLISHED)
        entries = self.published_entries()
        papers = documents(published_packages(self.plan.recipes, entries), self.config.recipes / "makepkg.conf")
        return publish(self.config, entries, layers, papers), layers

    def _layers(self, names: Iterable[str], stage: str, tools: Sequence[str] = ()) -> list[Path]:
        """The root of a sandbox with these packages of a round, what they depend on, and these tools."""
        plan = self.plan
        providers = {name: plan.provider(name, stage) for name in plan.stack(names)}
        entries = self.ensure_built([*providers.values(), *tools, plan.installer])
        return compose(
            self.config,
            [package_file(entries[provider], name) for name, provider in providers.items()],
            [entries[tool].tree for tool in tools],
            installer(plan, entries),
        )
