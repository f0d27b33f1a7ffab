"""The plan: which build needs which others, in what order they can run, and what a result depends on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from ..config import Config
from ..errors import PlanError
from .bootstrap import FILE, Bootstrap, load_bootstrap
from .recipe import Recipe, load_recipes

#: Raised when a change of this library changes what a build makes of the same inputs.
KEY_FORMAT = 1

#: The rounds of package builds, each a stage: the first uses the temporary tools; every other one uses nothing but the
#: packages of the round before.
ROUNDS = ("packages", "rebuild", "confirm")


class Plan:
    """The graph of all builds.

    A step needs the steps its recipe lists. A package of round 1 needs the tools of the bootstrap and, in its
    container's root, its dependencies with all that these need when they are used. In a later round these come from
    the round before, there are no tools, and the result is compared with that of the round before.

    Parameters
    ----------
    config : Config
        Says where the recipes are.
    recipes : mapping of str to Recipe
        All recipes by id.
    bootstrap : Bootstrap
        What stands in during round 1.
    rounds : int
        How many of `ROUNDS` to plan.

    Raises
    ------
    PlanError
        Something is needed that no recipe provides, two recipes provide the same package, or builds need each other
        in a circle.
    """

    def __init__(self, config: Config, recipes: Mapping[str, Recipe], bootstrap: Bootstrap, *, rounds: int = 2) -> None:
        self.config = config
        self.recipes = dict(recipes)
        for stage in ROUNDS[1:rounds]:
            self.recipes |= {f"{stage}/{r.name}": replace(r, stage=stage) for r in recipes.values() if r.packages}
        bootstrap.check(recipes)
        self._bootstrap = bootstrap
        self.tools = tuple(bootstrap.tools)
        self.installer = bootstrap.installer
        self._providers = _providers(recipes.values())
        direct = {id: self._direct(recipe) for id, recipe in self.recipes.items()}
        self._order = _sorted_graph(direct)
        self._roots = {id: self._used(self._named(recipe)) for id, recipe in self.recipes.items() if recipe.packages}
        self._dependencies = {id: self._needed(id) for id in self._order}

    @classmethod
    def from_recipes(cls, config: Config, *, rounds: int = 2) -> Plan:
        """Plan with the recipes of the checkout, and so many of `ROUNDS`.

        Raises
        ------
        RecipeError
            A recipe is wrong.
        PlanError
            The recipes do not add up, or ``recipes/bootstrap.toml`` cannot be read.
        """
        return cls(config, load_recipes(config), load_bootstrap(config), rounds=rounds)

    def order(self) -> tuple[str, ...]:
        """All ids, each behind those it needs."""
        return self._order

    @property
    def stages(self) -> tuple[str, ...]:
        """All stages, in the order in which they come to their turn."""
        return tuple(dict.fromkeys(recipe.stage for recipe in self.recipes.values()))

    def dependencies(self, id: str) -> tuple[str, ...]:
        """The ids whose outputs the build of `id` uses, sorted."""
        return self._dependencies[self._known(id)]

    def closure(self, ids: Iterable[str]) -> tuple[str, ...]:
        """These ids and all that is needed to build them, in order."""
        wanted = reachable(ids, self.dependencies)
        return tuple(id for id in self._order if id in wanted)

    def root_packages(self, id: str) -> tuple[str, ...]:
        """The packages installed in the container's root while `id` is built, sorted; a step has none."""
        return tuple(sorted(self._roots.get(self._known(id), ())))

    def layers(self, id: str) -> tuple[str, ...]:
        """The packages of `root_packages` from top to bottom, each above those it needs."""
        return self.stack(self.root_packages(id))

    def stack(self, packages: Iterable[str]) -> tuple[str, ...]:
        """These packages and all they need when they are used, from top to bottom, each above those it needs.

        Raises
        ------
        PlanError
            No recipe makes one of them.
        """
        return tuple(reversed(_sorted_graph({name: self._depends(name) for name in sorted(self._used(packages))})))

    @property
    def essential(self) -> tuple[str, ...]:
        """What the tools stand in for in round 1; later rounds have it, and all that it needs, in every root."""
        return tuple(self._bootstrap.stand_ins)

    def tools_of(self, id: str) -> tuple[str, ...]:
        """The steps below the packages in the container's root while `id` is built, topmost layer first."""
        return self.tools if self.recipes[self._known(id)].stage == ROUNDS[0] else ()

    def source_round(self, id: str) -> str:
        """The round whose packages are in the container's root while `id` is built: in the first round, that itself."""
        return ROUNDS[max(0, ROUNDS.index(self.recipes[self._known(id)].stage) - 1)]

    def reference(self, id: str) -> str | None:
        """The same build in the round before, which this one has to equal; None in the first round, and for a step."""
        recipe = self.recipes[self._known(id)]
        return f"{self.source_round(id)}/{recipe.name}" if recipe.stage in ROUNDS[1:] else None

    def provider(self, package: str, stage: str = ROUNDS[0]) -> str:
        """The id of the recipe that makes a package, in the round `stage`.

        Raises
        ------
        PlanError
            None does.
        """
        if package not in self._providers:
            raise PlanError(
                f"no recipe makes the package {package}", hint="the packages are those in recipes/packages/"
            )
        return f"{stage}/{self._providers[package]}"

    def key(self, id: str, outputs: Mapping[str, str]) -> str:
        """The name under which the store keeps the result of a build: a hash of everything the build can see.

        A dependency counts by its output, not by its own key: where a change leaves an output as it was, nothing
        above it is built again.

        Parameters
        ----------
        id : str
            The build.
        outputs : mapping of str to str
            The output digest of each of its `dependencies`, at least.

        Raises
        ------
        PlanError
            The output of a dependency is not known.
        """
        recipe = self.recipes[self._known(id)]
        missing = [needed for needed in self.dependencies(id) if needed not in outputs]
        if missing:
            raise PlanError(f"{id} needs {', '.join(missing)} to be built first")
        inputs = {
            "format": KEY_FORMAT,
            "id": id,
            "recipe": recipe.digest,
            "sources": sorted((source.name, source.sha256) for source in recipe.sources),
            "dependencies": [(needed, outputs[needed]) for needed in self.dependencies(id)],
            "settings": self._settings() if recipe.packages else [],
            "root": self.root_packages(id),
            "tools": self.tools_of(id) if recipe.packages else [],
        }
        if recipe.by_host and self.config.compilers:
            inputs["compilers"] = self.config.compilers
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()

    def critical_path(self, costs: Mapping[str, float]) -> dict[str, float]:
        """How urgent each build is: the cost of the longest chain from its start to the end of everything.

        Parameters
        ----------
        costs : mapping of str to float
            Seconds a build; one that is not named counts as one second.

        Returns
        -------
        dict of str to float
            Seconds by id. Of the builds that are ready, the one with the most should start first.
        """
        urgency: dict[str, float] = {}
        above: dict[str, float] = {}
        for id in reversed(self._order):
            urgency[id] = costs.get(id, 1.0) + above.get(id, 0.0)
            for needed in self.dependencies(id):
                above[needed] = max(above.get(needed, 0.0), urgency[id])
        return urgency

    def _known(self, id: str) -> str:
        if id not in self.recipes:
            raise PlanError(f"{id} is not part of the plan", hint="ids look like packages/musl")
        return id

    def _direct(self, recipe: Recipe) -> list[str]:
        """The ids that a build names itself."""
        if not recipe.packages:
            for needed in recipe.makedepends:
                if needed not in self.recipes:
                    raise PlanError(
                        f"{recipe.id} needs {needed}, which has no recipe", hint=f"correct makedepends in {recipe.path}"
                    )
            return sorted(recipe.makedepends)
        return self._with_tools(recipe.id, self._named(recipe))

    def _named(self, recipe: Recipe) -> list[str]:
        """The packages that a recipe itself asks for, without those it makes."""
        first = recipe.stage == ROUNDS[0]
        names: list[str] = []
        for needed in recipe.makedepends:
            others = self._bootstrap.stands_in(needed, recipe.name) if first else None
            names += [needed] if others is None else others
        for depends in recipe.depends.values():
            names += depends
        names = [plain_name(name) for name in names]
        for name in names:
            if name not in self._providers:
                raise PlanError(
                    f"{recipe.id} needs {name}, which no recipe provides", hint=f"add it, or correct {recipe.path}"
                )
        named = [name for name in names if name not in recipe.packages]
        # makepkg itself needs them, whether the recipe asks or not.
        return named if first else [*self.essential, *named]

    def _depends(self, package: str) -> list[str]:
        """What a package needs when it is used, itself left out."""
        recipe = self.recipes[self.provider(package)]
        return sorted({plain_name(name) for name in recipe.depends[package]} - {package})

    def _used(self, packages: Iterable[str]) -> set[str]:
        """These packages and all they need when they are used."""
        return reachable(packages, self._depends)

    def _needed(self, id: str) -> tuple[str, ...]:
        if id in self._roots:
            return tuple(self._with_tools(id, self._roots[id]))
        return tuple(sorted(set(self.recipes[id].makedepends)))

    def _with_tools(self, id: str, packages: Iterable[str]) -> list[str]:
        """The ids of a package build's tools and of these packages, and of what the result is compared with."""
        stage = self.source_round(id)
        used = {*self.tools_of(id), *(f"{stage}/{self._providers[name]}" for name in packages)}
        if reference := self.reference(id):
            used |= {reference, self.installer}
        return sorted(used)

    def _settings(self) -> list[tuple[str, str]]:
        """How makepkg is set up, the same for all packages."""
        paths = [self.config.recipes / "makepkg.conf", *sorted((self.config.recipes / "tidy").glob("*"))]
        return [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths if path.is_file()]


def reachable(starts: Iterable[str], needs: Callable[[str], Iterable[str]]) -> set[str]:
    """These nodes of a graph, and all to which `needs` leads from them."""
    found: set[str] = set()
    pending = list(starts)
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending += needs(node)
    return found


def plain_name(dependency: str) -> str:
    """The name in a dependency such as ``bash>=5``."""
    return re.split("[<>=]", dependency, maxsplit=1)[0]


def _providers(recipes: Iterable[Recipe]) -> dict[str, str]:
    providers: dict[str, str] = {}
    for recipe in recipes:
        for package in recipe.packages:
            if package in providers:
                both = f"{recipe.stage}/{providers[package]} and {recipe.id}"
                raise PlanError(f"{both} both make the package {package}", hint="rename one of them")
            providers[package] = recipe.name
    return providers


def _sorted_graph(graph: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """The nodes, each behind those it needs; the same order in every run."""
    try:
        return tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        # graphlib lists each node before the one that needs it; people read "needs" from left to right.
        chain = " -> ".join(reversed(error.args[1]))
        raise PlanError(
            f"these need each other: {chain}",
            hint=f"drop one of the dependencies, or say in {FILE} what stands in",
        ) from None
