"""Package builds: makepkg, in a fresh container that holds the declared dependencies and nothing else."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..config import Config, clean_environment
from ..containers.container import Bind, Container, Result
from ..containers.untrusted import open_file
from ..errors import BuildError, ContainerError, DifferenceError
from ..fetching.source import source_path
from ..recipes.recipe import Recipe
from ..storage.store import Entry, Store
from ..storage.tree import FULL, is_full
from .comparison import differences
from .jobserver import Jobserver
from .package_file import SUFFIX, package_info, problems

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
        Seconds after which the build is killed.

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
        with store.lock(name):
            build = _Build(config, recipe, layers, jobserver, reference, surroundings or Surroundings(), timeout)
            return build.run(folder)

    return store.add(recipe.id, key, inputs or {}, produce)


class _Build:
    """One build on its way."""

    def __init__(
        self,
        config: Config,
        recipe: Recipe,
        layers: Sequence[Path],
        jobserver: Jobserver | None,
        reference: Entry | None,
        surroundings: Surroundings,
        timeout: float | None,
    ) -> None:
        name = recipe.id.replace("/", "-")
        self.config, self.recipe, self.layers, self.timeout = config, recipe, layers, timeout
        self.reference, self.surroundings = reference, surroundings
        self.stop = jobserver.stop if jobserver else threading.Event()
        self.log = config.logs / f"{name}.log"
        self.failed = config.store / "failed" / name
        self.binds = [Bind(source_path(config, source), f"/sources/{source.name}") for source in recipe.sources]
        if jobserver:
            self.binds.append(Bind(jobserver.path.parent, "/js", readonly=False))
        self.environment = clean_environment(
            PATH="/usr/bin:/bin",
            HOME="/build",
            MAKEFLAGS=jobserver.makeflags("/js/fifo") if jobserver else f"-j{config.jobs}",
        )
        self.environment |= surroundings.environment

    def run(self, folder: Path) -> dict:
        """Build into `folder`/out; returns the measures."""
        started, began = time.time(), time.monotonic()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.unlink(missing_ok=True)
        with Container(
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
            result = container.run(command, log=self.log, timeout=self.timeout, cwd="/recipe")
            if self.stop.is_set():
                raise BuildError(f"{self.recipe.id} was stopped", hint="run again; everything finished is kept")
            if result.code:
                raise self._failure(container, self._reason(result), self._tail())
            try:
                wrong = _collect(self.recipe, container, folder / "out", [f"{self.config.store}/", "/mere/"])
            except (BuildError, ContainerError) as error:
                wrong = [error.message]
            if wrong:
                raise self._failure(container, "what it made is not right", wrong)
            if self.reference and (different := differences(self.reference.tree, folder / "out")):
                raise self._difference(container, folder / "out", different)
        self._forget_failure()
        self.log.replace(folder / "log")
        return {
            "wall_s": result.wall_s,
            "cpu_s": result.cpu_s,
            "peak_bytes": result.peak_bytes,
            "started": started,
            "ended": time.time(),
            "overhead_s": time.monotonic() - began - result.wall_s,
        }

    def _reason(self, result: Result) -> str:
        if result.timed_out:
            return f"it took more than {self.timeout:g} seconds"
        return f"makepkg ended with status {result.code}"

    def _tail(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()[-20:]

    def _failure(self, container: Container, reason: str, lines: Sequence[str]) -> BuildError:
        hint = FULL
        if not is_full(self.config.store):
            container.keep("/build", self.failed)
            hint = f"look into {self.failed}, which was /build; the recipe can be changed and run again"
        message = "\n".join([f"{self.recipe.id} failed: {reason}", *(f"  | {line}" for line in lines[:40])])
        return BuildError(message, hint=hint, log=self.log)

    def _difference(self, container: Container, packages: Path, lines: Sequence[str]) -> BuildError:
        assert self.reference is not None
        with open(self.log, "a") as log:
            log.write("".join(f"{line}\n" for line in lines))
        error = self._failure(container, f"it is not what {self.reference.id} is", lines)
        if is_full(self.config.store):
            # What a build could not write may be all that differs.
            return error
        shutil.copytree(packages, self.failed / "packages", dirs_exist_ok=True)
        return DifferenceError(error.message, hint=error.hint, log=error.log)

    def _forget_failure(self) -> None:
        # Folders that a build has made read-only are ours, since they were kept.
        if self.failed.exists():
            for folder, _, _ in os.walk(self.failed):
                os.chmod(folder, 0o700)
            shutil.rmtree(self.failed)


def _collect(recipe: Recipe, container: Container, target: Path, forbidden: Sequence[str]) -> list[str]:
    """Copy the package files out of the container; returns what is wrong with them."""
    found = set()
    wrong = []
    setuid, mentions = _listed(recipe, "_setuid_ok"), _listed(recipe, "_mere_ok")
    for name in container.names("/out"):
        if not name.endswith(SUFFIX):
            wrong.append(f"{name}: not a package")
            continue
        with open(open_file(container.upper, f"out/{name}"), "rb") as source, open(target / name, "xb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
        # From now on only file names are asked, so each has to be what its package says of itself.
        info = package_info(target / name)
        package, version, machine = (_only(info, field) for field in ("pkgname", "pkgver", "arch"))
        if package not in recipe.packages:
            wrong.append(f"{name}: the recipe has no package {package!r}")
        if package in found:
            wrong.append(f"{name}: {package} was made twice")
        if version != recipe.version:
            wrong.append(f"{name}: the recipe is version {recipe.version}, and it says {version!r}")
        if name != f"{package}-{version}-{machine}{SUFFIX}":
            wrong.append(f"{name}: calls itself {package}-{version}-{machine}{SUFFIX}")
        found.add(package)
        lines = problems(target / name, forbidden, setuid=setuid, mentions=mentions)
        wrong += [f"{package}: {line}" for line in lines]
    return wrong + [f"{package}: not made" for package in recipe.packages if package not in found]


def _only(info: Mapping[str, Sequence[str]], field: str) -> str:
    """The one value of a field; several are as bad as none, because every reader may take another."""
    values = info.get(field, ())
    return values[0] if len(values) == 1 else ""


def _listed(recipe: Recipe, variable: str) -> list[str]:
    """The words of an array of the recipe that only we read: patterns of files with a reason to be different."""
    match = re.search(rf"^{variable}=\(([^)]*)\)", recipe.path.read_text(), re.MULTILINE)
    return shlex.split(match[1], comments=True) if match else []
