"""Steps: builds of the stages cross and temptools, in a sandbox that sees the host's compiler and little else of it."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path

from ..config import EPOCH, TARGET, Config, clean_environment
from ..containers.sandbox import BUILDER, Bind, Overlay, Sandbox
from ..errors import BuildError, ContainerError, StoreError
from ..fetching.source import source_path, verified_path
from ..machine.prefixes import python_prefixes
from ..recipes.recipe import Recipe
from ..storage.store import Entry, Store
from ..storage.tail import last_beginning, last_lines
from ..storage.trash import discard
from ..storage.tree import FULL, is_full
from .jobserver import Jobserver, Lease

#: Where a step sees its directory. Some of what steps make contains the path, so it is the same for everybody.
PLACE = "/mnt"

_RUNNER = Path(__file__).with_name("step.bash")
_ARCHIVE = re.compile(r"\.(tar(\.\w+)?|tgz|tbz2?|txz)$")

#: How the log announces each part of a step.
_BEGUN = "==> "


def build_step(
    config: Config,
    store: Store,
    recipe: Recipe,
    dependencies: Mapping[str, Entry],
    jobserver: Jobserver | None,
    *,
    key: str,
    inputs: dict | None = None,
    timeout: float | None = None,
) -> Entry:
    """Build a step, or find it built.

    Parameters
    ----------
    config : Config
        Where logs and kept directories go.
    store : Store
        Takes the output: what the step left in ``$pkgdir``.
    recipe : Recipe
        Of stage ``cross`` or ``temptools``; its sources have been fetched.
    dependencies : mapping of str to Entry
        By id; their outputs together are the step's ``$tools``. It may write there, and changes nothing by that.
    jobserver : Jobserver or None
        Shared with the other builds of the run. When its `stop` is set the step is killed.
    key : str
        The name of the entry in the store.
    inputs : dict, optional
        Kept with the entry.
    timeout : float, optional
        Seconds after which the step is killed, instead of the recipe's.

    Returns
    -------
    Entry
        Of its measures, ``wall_s``, ``cpu_s`` and ``peak_bytes`` are those of the step's processes.

    Raises
    ------
    BuildError
        The step failed, was stopped, took too long, or left no ``$pkgdir``. The message ends with the end of the log;
        the step's directory is kept in ``failed/``.
    SourceError
        A source is not in the cache, or is not what was pinned.
    ContainerError
        The sandbox could not be made.
    """
    name = recipe.id.replace("/", "-")
    log = config.logs / f"{name}.log"
    failed = config.store / "failed" / name
    stop = jobserver.stop if jobserver else threading.Event()

    def produce(folder: Path) -> dict:
        with store.lock(name), jobserver.lease() if jobserver else nullcontext() as lease:
            began = time.monotonic()
            started = time.time()
            log.parent.mkdir(parents=True, exist_ok=True)
            log.unlink(missing_ok=True)
            _check_union(recipe, dependencies)
            with _sandbox(config, recipe, dependencies, lease, stop) as sandbox:
                sandbox.copy_in([_RUNNER], PLACE)
                sandbox.copy_in([recipe.path], f"{PLACE}/recipe")
                sandbox.copy_in(_plain_files(config, recipe), f"{PLACE}/src")
                archives = [f"/sources/{source.name}" for source in recipe.sources if _ARCHIVE.search(source.name)]
                command = ["bash", f"{PLACE}/{_RUNNER.name}", f"{PLACE}/recipe/{recipe.path.name}", *archives]
                result = sandbox.run(command, log=log, timeout=timeout or recipe.time_limit_s, cwd=PLACE)
                if stop.is_set():
                    raise BuildError(_failure(recipe.id, "stopped with the run", log), log=log)
                if result.code or result.reason:
                    why = result.reason or f"status {result.code}"
                    raise _failed(config, recipe, sandbox, why, log, failed)
                (folder / "out").rmdir()
                try:
                    sandbox.take(f"{PLACE}/pkg", folder / "out")
                except ContainerError as error:
                    (folder / "out").mkdir(exist_ok=True)
                    raise _failed(config, recipe, sandbox, error.message, log, failed) from error
            log.replace(folder / "log")
            discard(failed, config.work / "trash")
            return {
                "wall_s": result.wall_s,
                "cpu_s": result.cpu_s,
                "peak_bytes": result.peak_bytes,
                "started": started,
                "ended": started + result.wall_s,
                "overhead_s": time.monotonic() - began - result.wall_s,
            }

    return store.add(recipe.id, key, inputs or {}, produce)


def tools_overlay(entries: Mapping[str, Entry]) -> list[Overlay]:
    """The outputs of steps together, at ``$tools``; nothing for no steps."""
    return [Overlay([entry.tree for entry in entries.values()], f"{PLACE}/tools")] if entries else []


def _sandbox(
    config: Config,
    recipe: Recipe,
    dependencies: Mapping[str, Entry],
    lease: Lease | None,
    stop: threading.Event,
) -> Sandbox:
    binds = [
        # It may have changed since it was fetched, and what is built goes by the pin.
        *(Bind(verified_path(config, source), f"/sources/{source.name}") for source in recipe.sources),
        *(Bind(prefix, str(prefix)) for prefix in python_prefixes()),
    ]
    if lease:
        binds.append(Bind(lease.folder, f"{PLACE}/jobs"))
    return Sandbox(
        config,
        [],
        host=True,
        user=BUILDER,
        binds=binds,
        overlays=tools_overlay(dependencies),
        environment=_environment(config, recipe, dependencies, lease),
        folders=[PLACE, *(f"{PLACE}/{name}" for name in ("src", "pkg", "tools", "tmp", "jobs"))],
        stop=stop,
    )


def _environment(
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


def _plain_files(config: Config, recipe: Recipe) -> Iterator[Path]:
    """What a step finds in ``$srcdir`` as it is: the recipe's own files, and sources that are no archives."""
    yield from (file for file in recipe.files if file != recipe.path)
    for source in recipe.sources:
        if not _ARCHIVE.search(source.name):
            # It was verified when the sandbox was laid out.
            yield source_path(config, source)


def _check_union(recipe: Recipe, dependencies: Mapping[str, Entry]) -> None:
    """No two dependencies may have a file of the same name: which one the step sees would depend on their order."""
    owner: dict[str, str] = {}
    for id, entry in dependencies.items():
        names = {**entry.meta["outputs"], **entry.meta["links"]}
        for name in names:
            other = owner.setdefault(name, id)
            if other != id and not _same_link(dependencies[other], entry, name):
                raise StoreError(
                    f"{recipe.id} cannot have all its tools: {other} has {name} as well as {id}",
                    hint="let only one of the recipes install the file",
                )


def _same_link(one: Entry, other: Entry, name: str) -> bool:
    targets = {entry.meta["links"].get(name) for entry in (one, other)}
    return len(targets) == 1 and None not in targets


def _failed(config: Config, recipe: Recipe, sandbox: Sandbox, why: str, log: Path, failed: Path) -> BuildError:
    """Keep what the step has left, and say what happened."""
    hint = FULL
    if not is_full(config.store):
        discard(failed, config.work / "trash")
        sandbox.keep(PLACE, failed)
        hint = f"look into {failed}, which the step saw as {PLACE}; the recipe can be changed and run again"
    return BuildError(_failure(recipe.id, why, log), hint=hint, log=log)


def _failure(id: str, why: str, log: Path) -> str:
    phase = last_beginning(log, _BEGUN) if log.is_file() else ""
    lines = last_lines(log, 20) if log.is_file() else []
    return "\n".join([f"{id} failed{f' in {phase}' if phase else ''} ({why})", *(f"  | {line}" for line in lines)])
