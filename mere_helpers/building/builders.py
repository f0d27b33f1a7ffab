"""The builder of each stage: from what the schedule knows to what a step or a package build needs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..config import Config
from ..errors import StoreError
from ..recipes.plan import ROUNDS, Plan
from ..storage.store import Entry, Store
from .jobserver import Jobserver
from .layers import compose
from .package import build_package
from .package_file import package_name
from .step import build_step


@dataclass(frozen=True)
class Build:
    """What a builder is told.

    Attributes
    ----------
    config, store, plan : Config, Store, Plan
        Of this run.
    id, key : str
        The build, and the name of its entry in the store.
    inputs : dict
        What the key was made from, kept with the entry.
    dependencies : dict of str to Entry
        The results it builds with, by id.
    jobserver : Jobserver
        Shared by all builds of the run.
    """

    config: Config
    store: Store
    plan: Plan
    id: str
    key: str
    inputs: dict
    dependencies: dict[str, Entry]
    jobserver: Jobserver


Builder = Callable[[Build], Entry]


def package_file(entry: Entry, package: str) -> Path:
    """The file of one of the packages that a build made.

    Raises
    ------
    StoreError
        The build made no such package.
    """
    for name in entry.outputs:
        if package_name(name) == package:
            return entry.tree / name
    raise StoreError(f"{entry.id} has no package {package}", hint=f"rm -rf {entry.path}   # it is built again")


def installer(plan: Plan, entries: Mapping[str, Entry]) -> list[Path]:
    """The root of the sandbox in which pacman installs packages into layers: a tree with the one static program."""
    return [entries[plan.installer].tree]


def root(
    config: Config, plan: Plan, id: str, entries: Mapping[str, Entry], *, stop: threading.Event | None = None
) -> list[Path]:
    """The layers, topmost first, of the container in which a package is built; `entries` holds what that needs."""
    stage = plan.source_round(id)
    return compose(
        config,
        [package_file(entries[plan.provider(name, stage)], name) for name in plan.layers(id)],
        [entries[tool].tree for tool in plan.tools_of(id)],
        installer(plan, entries),
        stop=stop,
    )


def _step(build: Build) -> Entry:
    return build_step(
        build.config,
        build.store,
        build.plan.recipes[build.id],
        build.dependencies,
        build.jobserver,
        key=build.key,
        inputs=build.inputs,
    )


def _package(build: Build) -> Entry:
    plan, entries = build.plan, build.dependencies
    layers = root(build.config, plan, build.id, entries, stop=build.jobserver.stop)
    reference = plan.reference(build.id)
    return build_package(
        build.config,
        build.store,
        plan.recipes[build.id],
        layers,
        build.jobserver,
        key=build.key,
        inputs=build.inputs,
        reference=entries[reference] if reference else None,
    )


BUILDERS: Mapping[str, Builder] = {"cross": _step, "temptools": _step} | dict.fromkeys(ROUNDS, _package)
