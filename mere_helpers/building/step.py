"""Steps: builds of the stages cross and temptools, which run on the host, in a folder of their own and without network.

A step sees its folder at /mnt, whoever runs it and wherever the store is. Where /mnt would hide something that the step
needs it is another place, and some outputs differ, because a build has written the path into them.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from ..config import EPOCH, TARGET, Config, clean_environment
from ..containers.limits import Limits
from ..containers.running import follow
from ..errors import BuildError, StoreError
from ..fetching.source import source_path, verified_path
from ..machine.place import place_of_steps
from ..recipes.recipe import Recipe
from ..storage.store import Entry, Store
from ..storage.trash import discard
from ..storage.tree import FULL, is_full, link_tree
from .jobserver import Jobserver, Lease

_RUNNER = Path(__file__).with_name("step.bash")
_ARCHIVE = re.compile(r"\.(tar(\.\w+)?|tgz|tbz2?|txz)$")

# Root of a first user namespace only to mount; the build itself is an ordinary user of a second one, so that not even
# a real root can write into the read-only files of the store that have a second name in $tools.
_ENTER = """
mount --bind "$1" "$2"
[ -z "$3" ] || mount --bind "$3" "$2/jobs"
cd "$2"
exec unshare --user --map-user=1000 --map-group=1000 -- bash "$2/step.bash" "$2/recipe.sh" "${@:4}"
"""

#: A log that lacks this line ended before the step began.
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
        Where work folders and logs go.
    store : Store
        Takes the output: what the step left in ``$pkgdir``.
    recipe : Recipe
        Of stage ``cross`` or ``temptools``; its sources have been fetched.
    dependencies : mapping of str to Entry
        By id; their outputs together are the step's ``$tools``.
    jobserver : Jobserver or None
        Shared with the other builds of the run. When its `stop` is set the step is killed.
    key : str
        The name of the entry in the store.
    inputs : dict, optional
        Kept with the entry.
    timeout : float, optional
        Seconds after which the step is killed.

    Returns
    -------
    Entry
        Of its measures, ``wall_s`` and ``cpu_s`` are those of the step's processes; ``peak_bytes`` is what they held
        together, sampled.

    Raises
    ------
    BuildError
        The step failed, was stopped or took too long. The message ends with the end of the log; the work folder is
        kept in ``failed/``.
    SourceError
        A source is not in the cache, or is not what was pinned.
    """
    name = recipe.id.replace("/", "-")
    work = config.work / "steps" / name
    log = config.logs / f"{name}.log"
    failed = config.store / "failed" / name
    trash = config.work / "trash"

    def produce(folder: Path) -> dict:
        # The work folder is named after the step, not the key, so that it is easy to find.
        with store.lock(name), jobserver.lease() if jobserver else nullcontext() as lease:
            began = time.monotonic()
            discard(work, trash)
            log.parent.mkdir(parents=True, exist_ok=True)
            place = place_of_steps(config)
            try:
                linked = _fill(config, work, recipe, dependencies)
                before = {path: _state(path) for path in linked}
                command = _command(config, recipe, work, place, lease)
                environment = _environment(config, recipe, place, work, lease)
                stop = lease.stop if lease else threading.Event()
                try:
                    measures = _run(recipe.id, command, environment, log, stop, timeout)
                except BuildError as error:
                    if not stop.is_set():
                        discard(failed, trash)
                        failed.parent.mkdir(exist_ok=True)
                        work.rename(failed)
                        error.hint = _hint(config, log, failed, place)
                    raise
                finally:
                    _check_dependencies(store, recipe, dependencies, before)
                (folder / "out").rmdir()
                (work / "pkg").rename(folder / "out")
                log.replace(folder / "log")
                discard(failed, trash)
            finally:
                with suppress(OSError):
                    discard(work, trash)
            return measures | {"overhead_s": time.monotonic() - began - measures["wall_s"]}

    return store.add(recipe.id, key, inputs or {}, produce)


def _fill(config: Config, work: Path, recipe: Recipe, dependencies: Mapping[str, Entry]) -> list[Path]:
    """Lay out the work folder; the result is the files of the store that now have a second name in it."""
    for name in ("src", "pkg", "tools", "tmp", "jobs"):
        (work / name).mkdir(parents=True)
    shutil.copyfile(_RUNNER, work / "step.bash")
    shutil.copyfile(recipe.path, work / "recipe.sh")
    for file in recipe.files:
        if file != recipe.path:
            shutil.copy(file, work / "src" / file.name)
    for source in recipe.sources:
        # It may have changed since it was fetched, and what is built goes by the pin.
        file = verified_path(config, source)
        if not _ARCHIVE.search(source.name):
            shutil.copyfile(file, work / "src" / source.name)
    linked: list[Path] = []
    for id, entry in dependencies.items():
        try:
            linked += link_tree(entry.tree, work / "tools")
        except FileExistsError as error:
            clash = Path(error.filename2 or error.filename).relative_to(work / "tools")
            raise StoreError(
                f"{recipe.id} cannot have all its tools: another one has {clash} as well as {id}",
                hint="let only one of the recipes install the file",
            ) from error
    return linked


def _command(config: Config, recipe: Recipe, work: Path, place: str, lease: Lease | None) -> list[str]:
    # When unshare dies it takes the first process of the step with it, and that ends all others.
    namespaces = ["--user", "--map-root-user", "--mount", "--net", "--pid", "--fork", "--kill-child"]
    prefix = ["unshare", *namespaces, "--", "bash", "-euc", _ENTER, "enter"]
    jobs = str(lease.folder) if lease else ""
    archives = [str(source_path(config, source)) for source in recipe.sources if _ARCHIVE.search(source.name)]
    return [*prefix, str(work), place, jobs, *archives]


def _environment(config: Config, recipe: Recipe, place: str, work: Path, lease: Lease | None) -> dict[str, str]:
    # The host's make may be older than 4.4, and then refuses a jobserver that is a fifo.
    ours = lease is not None and (work / "tools/mere/bin/make").exists()
    compilers = dict(zip(("CC", "CXX"), config.compilers or (), strict=False)) if recipe.by_host else {}
    path = [f"{place}/tools/mere/bin", str(Path(sys.executable).parent), clean_environment()["PATH"]]
    return clean_environment(
        HOME=place,
        TMPDIR=f"{place}/tmp",
        PATH=":".join(path),
        srcdir=f"{place}/src",
        pkgdir=f"{place}/pkg",
        tools=f"{place}/tools",
        target=TARGET,
        SOURCE_DATE_EPOCH=str(EPOCH),
        MAKEFLAGS=lease.makeflags(f"{place}/jobs/fifo") if lease and ours else f"-j{config.jobs}",
        **compilers,
    )


def _run(
    id: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    stop: threading.Event,
    timeout: float | None,
) -> dict:
    """Run a command to its end, all it prints into `log`; the result is the measures."""
    started = time.time()
    with open(log, "wb", buffering=0) as output, Limits(f"{id.replace('/', '-')}-{os.getpid()}") as limits:
        ended = follow(
            limits.enter([*command]),
            output,
            cwd=Path("/"),
            environment=environment,
            timeout=timeout,
            stop=stop,
            pulse=limits.sample,
        )
    if ended.code != 0:
        why = f"status {ended.code}"
        if stop.is_set():
            why = "stopped with the run"
        elif ended.timed_out:
            why = f"still not done after {timeout:g} s"
        raise BuildError(_failure(id, why, log), log=log)
    return {
        "wall_s": ended.wall_s,
        "cpu_s": ended.cpu_s,
        "peak_bytes": max(limits.peak_bytes, ended.largest_bytes),
        "started": started,
        "ended": time.time(),
    }


def _failure(id: str, why: str, log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    phases = [line.removeprefix(_BEGUN) for line in lines if line.startswith(_BEGUN)]
    where = f" in {phases[-1]}" if phases else ""
    return "\n".join([f"{id} failed{where} ({why})", *(f"  | {line}" for line in lines[-20:])])


def _hint(config: Config, log: Path, failed: Path, place: str) -> str:
    if is_full(config.store):
        return FULL
    if _BEGUN not in log.read_text(errors="replace"):
        return "python -m mere_helpers check   # tells whether this host lets us make user namespaces"
    return f"look into {failed}, which the step saw as {place}; the recipe can be changed and run again"


def _state(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_mode


def _check_dependencies(
    store: Store, recipe: Recipe, dependencies: Mapping[str, Entry], before: Mapping[Path, tuple[int, int, int]]
) -> None:
    """A step that made a file of $tools writable has changed the store, too: forget what it changed."""
    changed = [path for path, state in before.items() if _state(path) != state]
    if not changed:
        return
    for entry in dependencies.values():
        if any(path.is_relative_to(entry.path) for path in changed):
            store.remove(entry)
    raise BuildError(
        f"{recipe.id} wrote into its tools: {changed[0].name}",
        hint="let the recipe replace the file (cp --remove-destination) instead; what it changed will be built again",
    )
