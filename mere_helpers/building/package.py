"""Package builds: makepkg, in a fresh container that holds the declared dependencies and nothing else."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from ..config import Config, clean_environment
from ..containers.sandbox import Bind, Sandbox
from ..containers.untrusted import open_file
from ..errors import BuildError, ContainerError, DifferenceError
from ..fetching.source import source_path
from ..recipes.recipe import Recipe
from ..storage.store import Entry, Store
from ..storage.tail import last_lines
from ..storage.tree import FULL, is_full, remove_tree
from .comparison import differences
from .gate import collect
from .jobserver import Jobserver, Lease

#: What runs in the container; the chapters show it.
COMMAND = ("makepkg", "--config", "/recipes/makepkg.conf", "--nodeps", "--nocheck", "--noprogressbar")


@dataclass(frozen=True)
class Surroundings:
    """What a build can see of where it happens; nothing of it may matter to the result.

    Attributes
    ----------
    host_name : str
        Of the container.
    environment : mapping of str to str
        Variables that are added, or win over ours.
    files : Path or None
        A folder of the host, copied to the root of the container.
    command : tuple of str
        What starts makepkg; its words come after these.
    """

    host_name: str = "mere"
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Path | None = None
    command: tuple[str, ...] = ()


def build_package(
    config: Config,
    store: Store,
    recipe: Recipe,
    layers: Sequence[Path],
    jobserver: Jobserver | None,
    *,
    key: str,
    inputs: dict | None = None,
    reference: Entry | None = None,
    surroundings: Surroundings | None = None,
    timeout: float | None = None,
) -> Entry:
    """Build the packages of a recipe, or find them built.

    Parameters
    ----------
    config : Config
        Where logs and kept folders go.
    store : Store
        Takes the package files.
    recipe : Recipe
        Of a package; its sources have been fetched.
    layers : sequence of Path
        The root of the container, topmost layer first.
    jobserver : Jobserver or None
        Shared with the other builds of the run. When its `stop` is set the build is killed.
    key : str
        The name of the entry in the store.
    inputs : dict, optional
        Kept with the entry.
    reference : Entry, optional
        The result of the same build in the round before; the payloads of both must be equal.
    surroundings : Surroundings, optional
        Others than usual.
    timeout : float, optional
        Seconds after which the build is killed, instead of the recipe's.

    Returns
    -------
    Entry
        Of its measures, ``wall_s``, ``cpu_s`` and ``peak_bytes`` are makepkg's.

    Raises
    ------
    BuildError
        makepkg failed, was stopped or took too long; or what it made is not what the recipe promises. The message ends
        with the end of the log; the build folder is kept in ``failed/``.
    DifferenceError
        What it made differs from the reference. The message ends with the differences; the packages are kept, too.
    ContainerError
        The container could not be made.
    """
    name = recipe.id.replace("/", "-")

    def produce(folder: Path) -> dict:
        with store.lock(name), jobserver.lease() if jobserver else nullcontext() as lease:
            build = _Build(config, recipe, layers, lease, reference, surroundings or Surroundings(), timeout)
            return build.run(folder)

    return store.add(recipe.id, key, inputs or {}, produce)


class _Build:
    """One build on its way."""

    def __init__(
        self,
        config: Config,
        recipe: Recipe,
        layers: Sequence[Path],
        lease: Lease | None,
        reference: Entry | None,
        surroundings: Surroundings,
        timeout: float | None,
    ) -> None:
        name = recipe.id.replace("/", "-")
        self.config, self.recipe, self.layers, self.timeout = config, recipe, layers, timeout
        self.reference, self.surroundings = reference, surroundings
        self.stop = lease.stop if lease else threading.Event()
        self.log = config.logs / f"{name}.log"
        self.failed = config.store / "failed" / name
        self.binds = [Bind(source_path(config, source), f"/sources/{source.name}") for source in recipe.sources]
        if lease:
            self.binds.append(Bind(lease.folder, "/js"))
        self.environment = clean_environment(
            PATH="/usr/bin:/bin",
            HOME="/build",
            MAKEFLAGS=lease.makeflags("/js/fifo") if lease else f"-j{config.jobs}",
        )
        self.environment |= surroundings.environment

    def run(self, folder: Path) -> dict:
        """Build into `folder`/out; returns the measures."""
        started, began = time.time(), time.monotonic()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.unlink(missing_ok=True)
        with Sandbox(
            self.config,
            self.layers,
            name=self.surroundings.host_name,
            binds=self.binds,
            environment=self.environment,
            folders=("/build", "/out", "/sources"),
            stop=self.stop,
        ) as container:
            container.copy_in([self.config.recipes / "makepkg.conf"], "/recipes")
            container.copy_in(self.recipe.files, "/recipe")
            if self.surroundings.files:
                container.copy_in([self.surroundings.files], "/")
            command = [*self.surroundings.command, *COMMAND]
            result = container.run(
                command, log=self.log, timeout=self.timeout or self.recipe.time_limit_s, cwd="/recipe"
            )
            if self.stop.is_set():
                raise BuildError(f"{self.recipe.id} was stopped", hint="run again; everything finished is kept")
            if result.code or result.reason:
                reason = result.reason or f"makepkg ended with status {result.code}"
                raise self._failure(container, reason, last_lines(self.log, 20))
            try:
                wrong = self._collect(container, folder / "out")
            except (BuildError, ContainerError) as error:
                wrong = [error.message]
            if wrong:
                raise self._failure(container, "what it made is not right", wrong)
            if self.reference and (different := differences(self.config, self.reference.tree, folder / "out")):
                raise self._difference(container, folder / "out", different)
        remove_tree(self.failed)
        self.log.replace(folder / "log")
        return {
            "wall_s": result.wall_s,
            "cpu_s": result.cpu_s,
            "peak_bytes": result.peak_bytes,
            "started": started,
            "ended": time.time(),
            "overhead_s": time.monotonic() - began - result.wall_s,
        }

    def _collect(self, container: Sandbox, target: Path) -> list[str]:
        def opened(name: str) -> int:
            return open_file(container.upper, f"out/{name}")

        return collect(self.recipe, container.names("/out"), opened, target, [f"{self.config.store}/", "/mere/"])

    def _failure(self, container: Sandbox, reason: str, lines: Sequence[str]) -> BuildError:
        hint = FULL
        if not is_full(self.config.store):
            container.keep("/build", self.failed)
            hint = f"look into {self.failed}, which was /build; the recipe can be changed and run again"
        message = "\n".join([f"{self.recipe.id} failed: {reason}", *(f"  | {line}" for line in lines[:40])])
        return BuildError(message, hint=hint, log=self.log)

    def _difference(self, container: Sandbox, packages: Path, lines: Sequence[str]) -> BuildError:
        assert self.reference is not None
        with open(self.log, "a") as log:
            log.write("".join(f"{line}\n" for line in lines))
        error = self._failure(container, f"it is not what {self.reference.id} is", lines)
        if is_full(self.config.store):
            # What a build could not write may be all that differs.
            return error
        shutil.copytree(packages, self.failed / "packages", dirs_exist_ok=True)
        return DifferenceError(error.message, hint=error.hint, log=error.log)
