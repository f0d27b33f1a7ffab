"""The plan: which build needs which others, in what order they can run, and what a result depends on.

An *id* such as ``packages/gcc`` names a build; the *name* of a package, such as ``gcc-libs``, what a build makes.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ..config import Config
from ..errors import PlanError
from ..files import sha256
from .recipe import Recipe, load_recipes

#: Raised when a change of this library changes what a build makes of the same inputs.
KEY_FORMAT = 1

#: The rounds of package builds, each a stage: the first uses the temporary tools; every other one uses nothing but the
#: packages of the round before.
ROUNDS = ("packages", "rebuild", "confirm")

_BOOTSTRAP = "recipes/bootstrap.toml"


class Plan:
    """All builds, and what each needs.

    A step needs the steps its recipe lists. A package of round 1 needs the tools of the bootstrap and, in its
    container's root, its dependencies with all that these need when they are used. In a later round these come from
    the round before, there are no tools, and the result is compared with that of the round before.

    Parameters
    ----------
    bootstrap : mapping
        What ``recipes/bootstrap.toml`` says of round 1: the ``tools``, steps whose trees lie below the packages in each
        root, topmost layer first; the ``installer``, the step whose pacman runs on the host; and for each
        make-dependency that cannot be there yet what takes its place: by the recipe's name, or ``default``.
    rounds : int
        How many of `ROUNDS` to plan.

    Raises
    ------
    PlanError
        Something is needed that no recipe provides, two recipes provide the same package, or builds need each other
        in a circle.
    """

    def __init__(
        self, config: Config, recipes: Mapping[str, Recipe], bootstrap: Mapping[str, Any], *, rounds: int = 2
    ) -> None:
        self.config = config
        self.recipes = dict(recipes)
        for stage in ROUNDS[1:rounds]:
            self.recipes |= {f"{stage}/{r.name}": replace(r, stage=stage) for r in recipes.values() if r.packages}
        self.tools = tuple(bootstrap.get("tools", ()))
        self.installer = bootstrap.get("installer", "")
        self._substitutes = {name: table for name, table in bootstrap.items() if name not in ("tools", "installer")}
        self._check_bootstrap()
        self._providers = _providers(recipes.values())
        named = {id: self._named(recipe) for id, recipe in self.recipes.items()}
        self._order = _sorted_graph({id: self._ids(id, names) for id, names in named.items()})
        self._roots = {id: self._used(named[id]) if recipe.packages else [] for id, recipe in self.recipes.items()}
        self._dependencies = {id: tuple(self._ids(id, self._roots[id])) for id in self._order}

    @classmethod
    def from_recipes(cls, config: Config, *, rounds: int = 2) -> Plan:
        """Plan with the recipes and the bootstrap of the checkout; RecipeError or PlanError if something is wrong."""
        recipes, path = load_recipes(config), config.checkout / _BOOTSTRAP
        try:
            return cls(config, recipes, tomllib.loads(path.read_text()), rounds=rounds)
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise PlanError(f"cannot read {_BOOTSTRAP}: {error}", hint=f"correct {path}") from None

    def order(self) -> tuple[str, ...]:
        """All ids, each behind those it needs."""
        return self._order

    @property
    def stages(self) -> tuple[str, ...]:
        """All stages, in the order in which they come to their turn."""
        return tuple(dict.fromkeys(recipe.stage for recipe in self.recipes.values()))

    def dependencies(self, id: str) -> tuple[str, ...]:
        """The ids whose outputs the build of `id` uses, sorted."""
        return self._dependencies[self._recipe(id).id]

    def closure(self, ids: Iterable[str]) -> tuple[str, ...]:
        """These ids and all that is needed to build them, in order."""
        needed = reachable(ids, self.dependencies)
        return tuple(id for id in self._order if id in needed)

    def root_packages(self, id: str) -> tuple[str, ...]:
        """The names of the packages installed in the container's root while `id` is built, sorted; a step has none."""
        return tuple(sorted(self._roots[self._recipe(id).id]))

    def stack(self, packages: Iterable[str]) -> tuple[str, ...]:
        """The names of these packages and of all they need when they are used, each above those it needs.

        It is a PlanError if no recipe makes one of them.
        """
        return tuple(reversed(_sorted_graph({name: self._depends(name) for name in sorted(self._used(packages))})))

    @property
    def essential(self) -> tuple[str, ...]:
        """The packages that the tools replace in round 1; later rounds have them, and all they need, in every root."""
        return tuple(self._substitutes)

    def tools_of(self, id: str) -> tuple[str, ...]:
        """The steps below the packages in the container's root while `id` is built, topmost layer first."""
        return self.tools if self._recipe(id).stage == ROUNDS[0] else ()

    def source_round(self, id: str) -> str:
        """The round whose packages are in the container's root while `id` is built: in the first round, that itself."""
        return ROUNDS[max(0, ROUNDS.index(self._recipe(id).stage) - 1)]

    def reference(self, id: str) -> str | None:
        """The same build in the round before, which this one has to equal; None in the first round, and for a step."""
        recipe = self._recipe(id)
        return f"{self.source_round(id)}/{recipe.name}" if recipe.stage in ROUNDS[1:] else None

    def provider(self, package: str, stage: str = ROUNDS[0]) -> str:
        """The id of the build that makes a package, in the round `stage`; PlanError if none does."""
        if package not in self._providers:
            hint = "the packages are those in recipes/packages/"
            raise PlanError(f"no recipe makes the package {package}", hint=hint)
        return f"{stage}/{self._providers[package]}"

    def key(self, id: str, outputs: Mapping[str, str]) -> str:
        """The name under which the store keeps the result of a build: a hash of everything the build can see.

        A dependency counts by its output, not by its own key: where a change leaves an output as it was, nothing
        above it is built again.

        `outputs` are the output digests of its `dependencies`, at least; PlanError if one is not known.
        """
        recipe = self._recipe(id)
        if missing := [needed for needed in self.dependencies(id) if needed not in outputs]:
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
        """How urgent each build is: seconds of the longest chain from its start to the end of everything, by id.

        Of the builds that are ready, the one with the most should start first. `costs` are seconds a build; one that is
        not named counts as one second.
        """
        urgency: dict[str, float] = {}
        above: dict[str, float] = {}
        for id in reversed(self._order):
            urgency[id] = costs.get(id, 1.0) + above.get(id, 0.0)
            for needed in self.dependencies(id):
                above[needed] = max(above.get(needed, 0.0), urgency[id])
        return urgency

    def _recipe(self, id: str) -> Recipe:
        if id not in self.recipes:
            raise PlanError(f"{id} is not part of the plan", hint="ids look like packages/musl")
        return self.recipes[id]

    def _check_bootstrap(self) -> None:
        """Raise PlanError unless all that is named has a recipe."""
        hint = f"correct {_BOOTSTRAP}"
        for tool in filter(None, (*self.tools, self.installer)):
            if tool not in self.recipes:
                raise PlanError(f"the bootstrap's tools need {tool}, which has no recipe", hint=hint)
        for name, table in self._substitutes.items():
            for recipe in table.keys() - {"default"}:
                if f"{ROUNDS[0]}/{recipe}" not in self.recipes:
                    raise PlanError(f"[{name}] speaks of {recipe}, which has no recipe", hint=hint)

    def _named(self, recipe: Recipe) -> list[str]:
        """The packages that a recipe itself asks for, without those it makes; for a step, nothing."""
        if not recipe.packages:
            return []
        first = recipe.stage == ROUNDS[0]
        names = [name for depends in recipe.depends.values() for name in depends]
        for needed in recipe.makedepends:
            table = self._substitutes.get(needed) if first else None
            names += [needed] if table is None else table.get(recipe.name, table.get("default", ()))
        names = [plain_name(name) for name in names]
        for name in names:
            if name not in self._providers:
                hint = f"add it, or correct {recipe.path}"
                raise PlanError(f"{recipe.id} needs {name}, which no recipe provides", hint=hint)
        named = [name for name in names if name not in recipe.packages]
        # makepkg itself needs them, whether the recipe asks or not.
        return named if first else [*self.essential, *named]

    def _ids(self, id: str, packages: Iterable[str]) -> list[str]:
        """The ids of the tools and packages that a build uses, and of what its result is compared with, sorted."""
        recipe = self.recipes[id]
        if not recipe.packages:
            for needed in recipe.makedepends:
                if needed not in self.recipes:
                    hint = f"correct makedepends in {recipe.path}"
                    raise PlanError(f"{id} needs {needed}, which has no recipe", hint=hint)
            return sorted(set(recipe.makedepends))
        used = {*self.tools_of(id), *(self.provider(name, self.source_round(id)) for name in packages)}
        if reference := self.reference(id):
            used |= {reference, self.installer}
        return sorted(used)

    def _depends(self, package: str) -> list[str]:
        """The packages that one needs when it is used, itself left out."""
        recipe = self.recipes[self.provider(package)]
        return sorted({plain_name(name) for name in recipe.depends[package]} - {package})

    def _used(self, packages: Iterable[str]) -> set[str]:
        """These packages and all they need when they are used."""
        return reachable(packages, self._depends)

    def _settings(self) -> list[tuple[str, str]]:
        """How makepkg is set up, the same for all packages."""
        path = self.config.recipes / "makepkg.conf"
        return [(path.name, sha256(path))] if path.is_file() else []


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
    """The name of the recipe that makes each package."""
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
        hint = f"drop one of the dependencies, or say in {_BOOTSTRAP} what stands in"
        raise PlanError(f"these need each other: {chain}", hint=hint) from None
