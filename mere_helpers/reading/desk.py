"""The desk: a directory of its own for each kernel, in which the cells of a chapter try out what was built."""

from __future__ import annotations

import atexit
import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from ..building.step import PLACE, tools_overlay
from ..config import Config, clean_environment
from ..containers.idmap import as_mapped_root
from ..containers.sandbox import BUILDER, Bind, Overlay, Sandbox
from ..errors import BuildError, MereError
from ..storage.lock import Locks
from ..storage.store import Entry

#: Seconds after which a command that a cell runs is ended.
TIMEOUT = 600.0

#: Where a sandbox sees the desk.
_INSIDE = "/desk"

#: The desks of this process, each with the lock that says that it is in use, by the directory of all desks.
_DESKS: dict[Path, tuple[Path, ExitStack]] = {}
_TURN = threading.RLock()


def desk(config: Config) -> Path:
    """The directory, made at the first call; those of processes that are gone are removed then.

    It belongs to the sandboxes' ordinary user, and what is in it is not to be trusted.
    """
    above = config.work / "desk"
    with _TURN:
        if above not in _DESKS or not _DESKS[above][0].is_dir():
            clear_desk(config)
            _DESKS[above] = _claim(config, above)
            atexit.register(clear_desk, config)
        return _DESKS[above][0] / "files"


def put(config: Config, name: str, text: str) -> None:
    """Put a file on the desk; one of this name is replaced."""
    # A command may have left a link under the name: it is removed, and nothing that exists is opened.
    script = 'set -C; umask 022; rm -rf "$1" && cat > "$1" && chown "$2:$2" "$1"'
    command = ["sh", "-c", script, "sh", f"./{name}", str(BUILDER)]
    as_mapped_root(config, command, stdin=text.encode(), cwd=desk(config))


def run_on_host(config: Config, command: str) -> str:
    """Run a shell command on the host itself, as the user we are: for programs of the host only.

    Parameters
    ----------
    config : Config
    command : str
        For ``sh``; the shell stops at the first error.

    Returns
    -------
    str
        What it printed, on both streams.

    Raises
    ------
    BuildError
        It ended with another status than 0; the message is the status, and what it printed.
    """
    with subprocess.Popen(
        ["sh", "-ec", command],
        cwd=desk(config),
        env=clean_environment(HOME="/nonexistent"),
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


def run_with_tools(config: Config, command: str, tools: Mapping[str, Entry], *, confined: bool = True) -> str:
    """Run a shell command in a sandbox with the host's programs and those of steps, on the desk.

    Files that it leaves on the desk stay there. Parameters, result and errors are those of `run_on_host`; the
    ``mere/bin`` of `tools`, by id, comes first in ``PATH``; `confined` is as for `Sandbox`.
    """
    path = clean_environment()["PATH"]
    if tools:
        path = f"{PLACE}/tools/mere/bin:{path}"
    sandbox = Sandbox(
        config,
        [],
        host=True,
        user=BUILDER,
        confined=confined,
        binds=[Bind(desk(config), _INSIDE, readonly=False)],
        overlays=tools_overlay(tools),
        environment=clean_environment(PATH=path, HOME=_INSIDE, TMPDIR=_INSIDE),
    )
    return _run(config, sandbox, command)


def run_in_container(
    config: Config,
    command: str,
    layers: Sequence[Path],
    binds: Sequence[Bind] = (),
    *,
    confined: bool = True,
    stop: threading.Event | None = None,
) -> str:
    """Run a shell command in a sandbox that is made for it, in ``/desk``: as if it were a copy of the desk.

    Nothing comes back but what it printed. Parameters, result and errors are those of `run_with_tools`; `layers` make
    the root, topmost first, and `binds` are seen inside. Once `stop` is set, everything in the sandbox is killed.
    """
    overlay = Overlay([desk(config)], _INSIDE)
    return _run(
        config, Sandbox(config, layers, binds=binds, overlays=[overlay], confined=confined, stop=stop), command, stop
    )


def _run(config: Config, sandbox: Sandbox, command: str, stop: threading.Event | None = None) -> str:
    # A file for each command, because a console may run one beside that of a cell.
    with NamedTemporaryFile(dir=desk(config).parent, prefix="log-") as log:
        with sandbox:
            done = sandbox.run(["sh", "-ec", command], log=Path(log.name), timeout=TIMEOUT, cwd=_INSIDE)
        printed = log.read().decode(errors="replace")
    if stop is not None and stop.is_set():
        raise BuildError("stopped" + (f"\n{printed.rstrip()}" if printed.strip() else ""))
    if done.reason:
        raise BuildError(f"{done.reason}, and ended: {command}")
    return _result(done.code, printed)


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
            _remove(config, here)
        alive.close()


def _claim(config: Config, above: Path) -> tuple[Path, ExitStack]:
    """Make a desk and lock it: numbers of processes are used again, and mean nothing in another container."""
    # Between the making of a desk and its lock, nobody must take it for a dead one.
    with Locks(above, threading.Event()).hold("gate"):
        for other in above.glob("*/"):
            with Locks(other, threading.Event()).try_hold("alive") as dead:
                if dead:
                    _remove(config, other)
        here, alive = above / secrets.token_hex(4), ExitStack()
        here.mkdir(parents=True)
        script = f'mkdir -m 755 "$1" && chown {BUILDER}:{BUILDER} "$1"'
        as_mapped_root(config, ["sh", "-c", script, "sh", here / "files"], own=True)
        alive.enter_context(Locks(here, threading.Event()).hold("alive"))
    return here, alive


def _remove(config: Config, here: Path) -> None:
    # The files in it are not ours. What stands in the way is removed by whoever makes the next desk.
    with suppress(MereError):
        as_mapped_root(config, ["rm", "-rf", here], own=True)
