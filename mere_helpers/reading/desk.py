"""The desk: a folder of its own for each kernel, in which the cells of a chapter try out what was built."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from ..config import Config, clean_environment
from ..containers.container import Bind, Container
from ..errors import BuildError
from ..storage.store import Entry
from ..storage.tree import link_tree, remove_tree

#: Seconds after which a command that a cell runs is ended.
TIMEOUT = 600.0


def desk(config: Config) -> Path:
    """The folder, made at the first call; those of processes that are gone are removed then."""
    here = config.work / "desk" / str(os.getpid())
    if not here.is_dir():
        for other in (config.work / "desk").glob("*"):
            if not Path("/proc", other.name).exists():
                remove_tree(other)
        (here / "files").mkdir(parents=True)
        atexit.register(clear_desk, config)
    return here / "files"


def run_on_host(config: Config, command: str, tools: Sequence[Entry] = ()) -> str:
    """Run a shell command on the desk.

    Parameters
    ----------
    config : Config
    command : str
        For ``sh``; the shell stops at the first error.
    tools : sequence of Entry
        Trees of steps; their ``mere/bin`` comes first in ``PATH``.

    Returns
    -------
    str
        What it printed, on both streams.

    Raises
    ------
    BuildError
        It ended with another status than 0; the message is the status, and what it printed.
    """
    here = desk(config)
    path = clean_environment()["PATH"]
    if tools:
        path = f"{_union(here.parent, tools) / 'mere' / 'bin'}:{path}"
    try:
        done = subprocess.run(
            ["sh", "-ec", command],
            cwd=here,
            env=clean_environment(PATH=path, HOME=str(here), TMPDIR=str(here)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"still running after {TIMEOUT:g} s, and ended: {command}") from None
    return _result(done.returncode, done.stdout.decode(errors="replace"))


def run_in_container(
    config: Config,
    command: str,
    layers: Sequence[Path],
    binds: Sequence[Bind] = (),
    *,
    stop: threading.Event | None = None,
) -> str:
    """Run a shell command in a container that is made for it, in ``/desk``: a copy of the desk's files.

    Nothing comes back but what it printed. Parameters, result and errors are those of `run_on_host`; `layers` make the
    root, topmost first, and `binds` are seen inside. Once `stop` is set, everything in the container is killed.
    """
    here = desk(config)
    # A file for each command, because a console may run one beside that of a cell.
    with NamedTemporaryFile(dir=here.parent, prefix="log-") as log:
        with Container(config, layers, binds=binds, folders=["/desk"], stop=stop) as container:
            container.copy_in(sorted(here.iterdir()), "/desk")
            done = container.run(["sh", "-ec", command], log=Path(log.name), timeout=TIMEOUT, cwd="/desk")
        printed = log.read().decode(errors="replace")
    if done.timed_out:
        raise BuildError(f"still running after {TIMEOUT:g} s, and ended: {command}")
    if stop is not None and stop.is_set():
        raise BuildError("stopped" + (f"\n{printed.rstrip()}" if printed.strip() else ""))
    return _result(done.code, printed)


def _union(room: Path, tools: Sequence[Entry]) -> Path:
    """One folder with all trees in it, made once for each set."""
    union = room / "-".join(sorted(entry.key[:8] for entry in tools))
    if not union.is_dir():
        aside = union.with_suffix(".new")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        for entry in tools:
            link_tree(entry.tree, aside)
        aside.rename(union)
    return union


def _result(status: int, printed: str) -> str:
    printed = printed.rstrip("\n")
    if status:
        raise BuildError(f"status {status}" + (f"\n{printed}" if printed else ""))
    return printed


def clear_desk(config: Config) -> None:
    """Remove this process's desk."""
    with suppress(OSError):
        remove_tree(config.work / "desk" / str(os.getpid()))
