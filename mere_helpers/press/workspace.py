"""The workspace of a kernel, which cells see as ``/desk``: what was built is tried out there."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile

from ..building.builders import PLACE, tools_overlay
from ..config import Config, clean_environment
from ..errors import CommandError, MereError, StoppedError
from ..locks import claim
from ..sandbox.idmap import as_mapped_root
from ..sandbox.sandbox import BUILDER, Bind, Overlay, Sandbox
from ..store.store import Entry

#: Seconds after which a command that a cell runs is ended.
TIMEOUT = 600.0

#: Where a sandbox sees the desk.
_INSIDE = "/desk"

#: The desks of this process, each with the descriptor that says that it is in use, by the directory of all desks.
_WORKSPACES: dict[Path, tuple[Path, int]] = {}
_TURN = threading.RLock()


def workspace(config: Config) -> Path:
    """The directory, made at the first call; those of processes that are gone are removed then.

    It belongs to the sandboxes' ordinary user, and what is in it is not to be trusted.
    """
    above = config.work / "desk"
    with _TURN:
        if above not in _WORKSPACES or not _WORKSPACES[above][0].is_dir():
            clear(config)
            _WORKSPACES[above] = _make(config, above)
            atexit.register(clear, config)
        return _WORKSPACES[above][0] / "files"


def put(config: Config, name: str, text: str) -> None:
    """Put a file on the desk; one of this name is replaced."""
    # A command may have left a link under the name: it is removed, and nothing that exists is opened.
    script = 'set -C; umask 022; rm -rf "$1" && cat > "$1" && chown "$2:$2" "$1"'
    command = ["sh", "-c", script, "sh", f"./{name}", str(BUILDER)]
    as_mapped_root(config, command, stdin=text.encode(), cwd=workspace(config))


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
    CommandError
        It ended with another status than 0; the message is the status, and what it printed.
    """
    with subprocess.Popen(
        ["sh", "-ec", command],
        cwd=workspace(config),
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
                raise CommandError(f"still running after {TIMEOUT:g} s, and ended: {command}") from None
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
        binds=[Bind(workspace(config), _INSIDE, readonly=False)],
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
    overlay = Overlay([workspace(config)], _INSIDE)
    return _run(
        config, Sandbox(config, layers, binds=binds, overlays=[overlay], confined=confined, stop=stop), command, stop
    )


def _run(config: Config, sandbox: Sandbox, command: str, stop: threading.Event | None = None) -> str:
    # A file for each command, because a console may run one beside that of a cell.
    with NamedTemporaryFile(dir=workspace(config).parent, prefix="log-") as log:
        with sandbox:
            done = sandbox.run(["sh", "-ec", command], log=Path(log.name), timeout=TIMEOUT, cwd=_INSIDE)
        printed = log.read().decode(errors="replace")
    if stop is not None and stop.is_set():
        raise StoppedError("stopped" + (f"\n{printed.rstrip()}" if printed.strip() else ""))
    if done.reason:
        raise CommandError(f"{done.reason}, and ended: {command}")
    return _result(done.code, printed)


def _result(status: int, printed: str) -> str:
    printed = printed.rstrip("\n")
    if status:
        raise CommandError(f"status {status}" + (f"\n{printed}" if printed else ""))
    return printed


def clear(config: Config) -> None:
    """Remove this process's desk."""
    with _TURN:
        here = _WORKSPACES.pop(config.work / "desk", None)
        if here is not None:
            _remove(config, *here)


def _make(config: Config, above: Path) -> tuple[Path, int]:
    """The directory of a desk, and the descriptor that says that it is in use."""
    here, alive = claim(above, "", partial(_remove, config))
    script = f'mkdir -m 755 "$1" && chown {BUILDER}:{BUILDER} "$1"'
    as_mapped_root(config, ["sh", "-c", script, "sh", here / "files"], own=True)
    return here, alive


def _remove(config: Config, here: Path, alive: int) -> None:
    # The files in it are not ours. What stands in the way is removed by whoever makes the next desk.
    with suppress(MereError):
        as_mapped_root(config, ["rm", "-rf", here], own=True)
    os.close(alive)
