"""The desk: a folder of its own for each kernel, in which the cells of a chapter try out what was built."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from ..config import Config, clean_environment
from ..containers.container import Bind, Container
from ..errors import BuildError
from ..storage.lock import Locks
from ..storage.store import Entry
from ..storage.tree import link_tree, remove_tree

#: Seconds after which a command that a cell runs is ended.
TIMEOUT = 600.0


#: The desks of this process, each with the lock that says that it is in use, by the folder of all desks.
_DESKS: dict[Path, tuple[Path, ExitStack]] = {}
_TURN = threading.RLock()


def desk(config: Config) -> Path:
    """The folder, made at the first call; those of processes that are gone are removed then."""
    above = config.work / "desk"
    with _TURN:
        if above not in _DESKS or not _DESKS[above][0].is_dir():
            clear_desk(config)
            _DESKS[above] = _claim(above)
            atexit.register(clear_desk, config)
        return _DESKS[above][0] / "files"


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
    with subprocess.Popen(
        ["sh", "-ec", command],
        cwd=here,
        env=clean_environment(PATH=path, HOME=str(here), TMPDIR=str(here)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=TIMEOUT)
        except BaseException as error:
            # Not the shell alone, but all that it has started; a Ctrl-C does not reach them by itself.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise BuildError(f"still running after {TIMEOUT:g} s, and ended: {command}") from None
            raise
    return _result(process.returncode, printed.decode(errors="replace"))


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
    with _TURN:
        here, alive = _DESKS.pop(config.work / "desk", (None, ExitStack()))
        if here is not None:
            with suppress(OSError):
                remove_tree(here)
        alive.close()


def _claim(above: Path) -> tuple[Path, ExitStack]:
    """Make a desk and lock it: numbers of processes are used again, and mean nothing in another container."""
    # Between the making of a desk and its lock, nobody must take it for a dead one.
    with Locks(above, threading.Event()).hold("gate"):
        for other in above.glob("*/"):
            with Locks(other, threading.Event()).try_hold("alive") as dead:
                if dead:
                    remove_tree(other)
        here, alive = above / secrets.token_hex(4), ExitStack()
        (here / "files").mkdir(parents=True)
        alive.enter_context(Locks(here, threading.Event()).hold("alive"))
    return here, alive
