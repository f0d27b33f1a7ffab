"""The one builder: runs what a recipe asks for in a sandbox, and stores what that has made, or says why it failed."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from ..config import Config
from ..errors import BuildError, ContainerError, DifferenceError, PackageError, StoppedError
from ..files import FULL, is_full, last_beginning, last_lines, remove_tree
from ..planning.recipe import Recipe
from ..sandbox.sandbox import Sandbox
from ..store.store import Entry, Store
from .comparison import differences
from .jobserver import Jobserver, Lease

#: How the log announces each part of a step.
_BEGUN = "==> "


@dataclass(frozen=True)
class Measures:
    """What a build cost: its command alone, and in seconds since 1970 when all of it began and ended."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    started: float
    ended: float
    overhead_s: float


@dataclass(frozen=True)
class Work:
    """How a build is done: what differs between a step and a package.

    Attributes
    ----------
    sandbox : Sandbox
        Not entered yet.
    files : sequence of tuple
        What is copied into it, and the directories where.
    place : str
        The directory inside that is kept for people when the build fails.
    collect : callable
        Moves what was made from the sandbox to an empty directory; returns what is wrong with it, a line for each.
    phases : bool
        Whether the log tells the parts of the build.
    """

    sandbox: Sandbox
    files: Sequence[tuple[Iterable[Path], str]]
    command: Sequence[str]
    cwd: str
    place: str
    collect: Callable[[Sandbox, Path], list[str]]
    phases: bool = False


#: Makes the work of a build, given its lease of the jobserver and the event that stops it.
Prepare = Callable[[Lease | None, threading.Event], Work]


def build(
    config: Config,
    store: Store,
    recipe: Recipe,
    prepare: Prepare,
    jobserver: Jobserver | None,
    *,
    key: str,
    inputs: dict | None = None,
    reference: Entry | None = None,
    timeout: float | None = None,
) -> Entry:
    """Build a recipe, or find it built.

    Parameters
    ----------
    config : Config
        Where logs and kept directories go.
    prepare : callable
        Makes the work, when it is this build's turn.
    jobserver : Jobserver or None
        Shared with the other builds of the run. When its `stop` is set the build is killed.
    key : str
        The name of the entry in the store; `inputs`, what it was made from, are kept there.
    reference : Entry, optional
        The result of the same build in the round before; the payloads of both must be equal.
    timeout : float, optional
        Seconds after which the build is killed, instead of the recipe's.

    Raises
    ------
    BuildError
        It failed or took too long, or what it made is not what the recipe promises. The message ends with the reason or
        the end of the log; the build's directory is kept in ``failed/``.
    DifferenceError
        What it made differs from the reference. The message ends with the differences; the packages are kept, too.
    StoppedError
        The run was stopped.
    SourceError
        A source is not in the cache, or is not what was pinned.
    ContainerError
        The sandbox could not be made.
    """
    name = recipe.id.replace("/", "-")
    log, failed = config.logs / f"{name}.log", config.store / "failed" / name
    stop = jobserver.stop if jobserver else threading.Event()

    def failure(work: Work, reason: str, lines: Sequence[str]) -> BuildError:
        phase = last_beginning(log, _BEGUN) if work.phases else ""
        text = "\n".join(
            [f"{recipe.id} failed{phase and f' in {phase}'}: {reason}", *(f"  | {line}" for line in lines)]
        )
        if is_full(config.store):
            return BuildError(text, hint=FULL, log=log)
        remove_tree(failed)
        work.sandbox.keep(work.place, failed)
        hint = f"look into {failed}, which was {work.place}; the recipe can be changed and run again"
        return BuildError(text, hint=hint, log=log)

    def compare(work: Work, made: Path) -> None:
        if not reference or not (lines := differences(config, reference.tree, made)):
            return
        with open(log, "a") as file:
            file.write("".join(f"{line}\n" for line in lines))
        error = failure(work, f"it is not what {reference.id} is", lines[:40])
        if is_full(config.store):
            # What a build could not write may be all that differs.
            raise error
        shutil.copytree(made, failed / "packages", dirs_exist_ok=True)
        raise DifferenceError(error.message, hint=error.hint, log=log)

    def produce(folder: Path) -> dict:
        with store.lock(name), jobserver.lease() if jobserver else nullcontext() as lease:
            started, began = time.time(), time.monotonic()
            log.parent.mkdir(parents=True, exist_ok=True)
            log.unlink(missing_ok=True)
            work = prepare(lease, stop)
            with work.sandbox as sandbox:
                for files, target in work.files:
                    sandbox.copy_in(files, target)
                result = sandbox.run(work.command, log=log, timeout=timeout or recipe.time_limit_s, cwd=work.cwd)
                if stop.is_set():
                    hint = "run again; everything finished is kept"
                    raise StoppedError(f"{recipe.id} was stopped", hint=hint, log=log)
                if result.code or result.reason:
                    raise failure(work, result.reason or f"status {result.code}", last_lines(log, 20))
                try:
                    wrong = work.collect(sandbox, folder / "out")
                except (PackageError, ContainerError) as error:
                    wrong = [error.message]
                if wrong:
                    raise failure(work, "what it made is not right", wrong[:40])
                compare(work, folder / "out")
            log.replace(folder / "log")
            remove_tree(failed)
            used = time.monotonic() - began - result.wall_s
            return asdict(Measures(result.wall_s, result.cpu_s, result.peak_bytes, started, time.time(), used))

    return store.add(recipe.id, key, inputs or {}, produce)
