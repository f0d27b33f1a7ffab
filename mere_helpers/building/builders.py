"""What is built and how: steps with the host's compiler, packages by makepkg, and which of them each stage is."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..config import EPOCH, TARGET, Config, clean_environment
from ..errors import StoreError
from ..fetching.cache import source_path, verified_path
from ..host.prefixes import python_prefixes
from ..planning.plan import ROUNDS, Plan
from ..planning.recipe import Recipe
from ..sandbox.sandbox import BUILDER, Bind, Overlay, Sandbox
from ..sandbox.untrusted import open_file
from ..store.store import Entry, Store
from .build import Prepare, Work, build
from .gate import collect
from .jobserver import Jobserver, Lease
from .layers import compose
from .package_file import package_name

#: Where a step sees its directory. Some of what steps make contains the path, so it is the same for everybody.
PLACE = "/mnt"

#: What runs in the container of a package; the chapters show it.
COMMAND = ("makepkg", "--config", "/recipes/makepkg.conf", "--nodeps", "--nocheck", "--noprogressbar")

_RUNNER = Path(__file__).with_name("step.bash")
_ARCHIVE = re.compile(r"\.(tar(\.\w+)?|tgz|tbz2?|txz)$")


@dataclass(frozen=True)
class BuildEnvironment:
    """What a package's build can see of where it happens; nothing of it may matter to the result.

    The variables of `environment` win over ours, `files` is a directory of the host that is copied to the root of the
    container, and the words of makepkg come after those of `command`.
    """

    host_name: str = "mere"
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Path | None = None
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Build:
    """What the builder of a stage is told: the run's settings, store and plan, and what is to be built with what.

    `key` is the name of the entry in the store, `inputs` what it was made from; `dependencies` are the results that it
    builds with, by id, and the jobserver is shared by all builds of the run.
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
    """The file of one of the packages that a build made; a StoreError if it made no such package."""
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
        [package_file(entries[plan.provider(name, stage)], name) for name in plan.stack(plan.root_packages(id))],
        [entries[tool].tree for tool in plan.tools_of(id)],
        installer(plan, entries),
        stop=stop,
    )


def tools_overlay(entries: Mapping[str, Entry]) -> list[Overlay]:
    """The outputs of steps together, at ``$tools``; nothing for no steps."""
    return [Overlay([entry.tree for entry in entries.values()], f"{PLACE}/tools")] if entries else []


def step_work(config: Config, recipe: Recipe, dependencies: Mapping[str, Entry]) -> Prepare:
    """How a recipe of stage ``cross`` or ``temptools`` is built: in a sandbox that sees the host's compiler.

    The outputs of `dependencies`, by id, are together the step's ``$tools``; it may write there, and changes nothing by
    that. What it leaves in ``$pkgdir`` is stored.
    """

    def prepare(lease: Lease | None, stop: threading.Event) -> Work:
        _check_union(recipe, dependencies)
        # It may have changed since it was fetched, and what is built goes by the pin.
        sources = {source.name: verified_path(config, source) for source in recipe.sources}
        binds = [Bind(path, f"/sources/{name}") for name, path in sources.items()]
        binds += [Bind(prefix, str(prefix)) for prefix in python_prefixes()]
        if lease:
            binds.append(Bind(lease.folder, f"{PLACE}/jobs"))
        sandbox = Sandbox(
            config,
            [],
            host=True,
            user=BUILDER,
            binds=binds,
            overlays=tools_overlay(dependencies),
            environment=_step_environment(config, recipe, dependencies, lease),
            folders=[PLACE, *(f"{PLACE}/{name}" for name in ("src", "pkg", "tools", "tmp", "jobs"))],
            stop=stop,
        )
        plain = [file for file in recipe.files if file != recipe.path]
        plain += [path for name, path in sources.items() if not _ARCHIVE.search(name)]
        archives = [f"/sources/{name}" for name in sources if _ARCHIVE.search(name)]
        return Work(
            sandbox,
            files=[([_RUNNER], PLACE), ([recipe.path], f"{PLACE}/recipe"), (plain, f"{PLACE}/src")],
            command=["bash", f"{PLACE}/{_RUNNER.name}", f"{PLACE}/recipe/{recipe.path.name}", *archives],
            cwd=PLACE,
            place=PLACE,
            collect=_take,
            phases=True,
        )

    return prepare


def package_work(
    config: Config, recipe: Recipe, layers: Sequence[Path], surroundings: BuildEnvironment | None = None
) -> Prepare:
    """How the packages of a recipe are built: by makepkg, in a container of these layers, the topmost first."""
    around = surroundings or BuildEnvironment()

    def prepare(lease: Lease | None, stop: threading.Event) -> Work:
        binds = [Bind(source_path(config, source), f"/sources/{source.name}") for source in recipe.sources]
        if lease:
            binds.append(Bind(lease.folder, "/js"))
        makeflags = lease.makeflags("/js/fifo") if lease else f"-j{config.jobs}"
        environment = clean_environment(PATH="/usr/bin:/bin", HOME="/build", MAKEFLAGS=makeflags)
        sandbox = Sandbox(
            config,
            layers,
            name=around.host_name,
            binds=binds,
            environment={**environment, **around.environment},
            folders=("/build", "/out", "/sources"),
            stop=stop,
        )
        return Work(
            sandbox,
            files=[
                ([config.recipes / "makepkg.conf"], "/recipes"),
                (recipe.files, "/recipe"),
                *([([around.files], "/")] if around.files else []),
            ],
            command=[*around.command, *COMMAND],
            cwd="/recipe",
            place="/build",
            collect=gather,
        )

    def gather(sandbox: Sandbox, target: Path) -> list[str]:
        def opened(name: str) -> int:
            return open_file(sandbox.upper, f"out/{name}")

        return collect(recipe, sandbox.names("/out"), opened, target, [f"{config.store}/", "/mere/"])

    return prepare


def _step_environment(
    config: Config, recipe: Recipe, dependencies: Mapping[str, Entry], lease: Lease | None
) -> dict[str, str]:
    # The host's make may be older than 4.4, and then refuses a jobserver that is a fifo.
    ours = lease is not None and any("mere/bin/make" in entry.outputs for entry in dependencies.values())
    compilers = dict(zip(("CC", "CXX"), config.compilers or (), strict=False)) if recipe.by_host else {}
    path = [f"{PLACE}/tools/mere/bin", str(Path(sys.executable).parent), clean_environment()["PATH"]]
    return clean_environment(
        HOME=PLACE,
        TMPDIR=f"{PLACE}/tmp",
        PATH=":".join(path),
        srcdir=f"{PLACE}/src",
        pkgdir=f"{PLACE}/pkg",
        tools=f"{PLACE}/tools",
        target=TARGET,
        SOURCE_DATE_EPOCH=str(EPOCH),
        MAKEFLAGS=lease.makeflags(f"{PLACE}/jobs/fifo") if lease and ours else f"-j{config.jobs}",
        **compilers,
    )


def _take(sandbox: Sandbox, target: Path) -> list[str]:
    sandbox.take(f"{PLACE}/pkg", target)
    return []


def _check_union(recipe: Recipe, dependencies: Mapping[str, Entry]) -> None:
    """No two dependencies may have a file of the same name: which one the step sees would depend on their order."""
    owner: dict[str, str] = {}
    for id, entry in dependencies.items():
        links = entry.meta["links"]
        for name in (*entry.meta["outputs"], *links):
            other = owner.setdefault(name, id)
            same = name in links and links[name] == dependencies[other].meta["links"].get(name)
            if other != id and not same:
                raise StoreError(
                    f"{recipe.id} cannot have all its tools: {other} has {name} as well as {id}",
                    hint="let only one of the recipes install the file",
                )


def _step(told: Build) -> Entry:
    return _build(told, step_work(told.config, told.plan.recipes[told.id], told.dependencies))


def _package(told: Build) -> Entry:
    plan, entries = told.plan, told.dependencies
    layers = root(told.config, plan, told.id, entries, stop=told.jobserver.stop)
    reference = plan.reference(told.id)
    work = package_work(told.config, plan.recipes[told.id], layers)
    return _build(told, work, entries[reference] if reference else None)


def _build(told: Build, work: Prepare, reference: Entry | None = None) -> Entry:
    recipe, store = told.plan.recipes[told.id], told.store
    return build(
        told.config, store, recipe, work, told.jobserver, key=told.key, inputs=told.inputs, reference=reference
    )


BUILDERS: Mapping[str, Builder] = {"cross": _step, "temptools": _step} | dict.fromkeys(ROUNDS, _package)
