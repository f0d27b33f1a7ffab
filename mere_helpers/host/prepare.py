"""Is this host ready? Checks try the real thing where they can, and name the command that brings what is missing."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from ..config import Config, clean_environment
from ..errors import ContainerError, HostError, StoreError
from ..marker import SOURCES, STORE, Kind, check, mark
from ..sandbox.idmap import as_mapped_root, id_range, make_private
from .checks import CHECKS, Host, Problem
from .prefixes import python_prefixes
from .requirements import privilege

#: Directories of the store that are closed to all other users of this machine.
PRIVATE = ("containers", "layers")


def check_host(config: Config, *, checks: Mapping[str, Callable[[Host], Problem | None]] | None = None) -> list[str]:
    """Check all that the builds need from the host, or only `checks`: the names of the checks, which it has passed.

    Raises
    ------
    HostError
        Something is missing; the message lists each failed check with the command that fixes it.
    """
    checks = checks or {**CHECKS, "a way for containers to the store": _way_to_store}
    found = {name: check(Host(config)) for name, check in checks.items()}
    failed = {name: problem for name, problem in found.items() if problem}
    if failed:
        lines = [f"this host is not ready: {len(failed)} of {len(found)} checks failed"]
        for name, problem in failed.items():
            lines += [f"  {name}: {problem.what}", *(f"      {command}" for command in problem.fix.splitlines())]
        raise HostError("\n".join(lines), hint="run the indented commands from top to bottom, then check again")
    return list(found)


def open_path(config: Config) -> list[Path]:
    """Make the store and the cache of sources, and let the containers' root pass to them, and to our Python.

    A home directory is often closed to others. The root of a container is another, powerless user outside, so it gets
    the right to pass (not to read) by an access control list; nobody else gains anything, and no privilege is needed.
    Whoever else has an account here may not pass to containers and layers: programs in there may be set-user-id.

    The directories that were changed, and are not our own, are returned.

    Raises
    ------
    HostError
        A directory is not ours to change, or its file system has no access control lists.
    StoreError
        The store or the cache of sources holds other things.
    """
    changed: list[Path] = []
    _make_folder(config.store, STORE)
    _make_folder(config.sources, SOURCES)
    for folder in (config.store, config.sources, *python_prefixes()):
        while blocked := first_closed(config, folder):
            if blocked in changed:
                raise HostError(f"{blocked} stays closed to containers", hint="set MERE_STORE to a folder elsewhere")
            command = _opening(blocked, id_range(config).uid)
            try:
                if command[0] != "setfacl":
                    raise PermissionError("it belongs to somebody else")
                subprocess.run(command, check=True, capture_output=True, text=True, env=clean_environment())
            except (OSError, subprocess.CalledProcessError) as error:
                reason = (getattr(error, "stderr", "") or str(error)).strip()
                raise HostError(
                    f"containers cannot pass through {blocked}: {reason}",
                    hint=f"{shlex.join(command)}, or set MERE_STORE to a folder elsewhere",
                ) from error
            changed.append(blocked)
    for name in PRIVATE:
        make_private(config, config.store / name)
    return changed


def first_closed(config: Config, folder: Path) -> Path | None:
    """The topmost directory on the way to `folder`, itself included, that the containers' root may not pass."""
    way = [str(path) for path in reversed((folder, *folder.parents)) if path.exists()]
    script = 'for folder; do test -x "$folder" || { echo "$folder"; exit; }; done'
    answer = as_mapped_root(config, ["sh", "-c", script, "sh", *way], cwd=Path("/"))
    return Path(answer.strip()) if answer.strip() else None


def _way_to_store(host: Host) -> Problem | None:
    config = host.config
    try:
        check(config.store, STORE)
        check(config.sources, SOURCES)
        for folder in (config.store, config.sources, *(config.store / name for name in PRIVATE), *python_prefixes()):
            blocked = first_closed(config, folder)
            if blocked is None:
                continue
            # Directories below the first closed one cannot be tried yet; their modes tell.
            below = [path for path in (*reversed(folder.parents), folder) if path.exists() and blocked in path.parents]
            closed = [blocked, *(path for path in below if not path.stat().st_mode & 0o001)]
            fix = "\n".join(shlex.join(_opening(path, id_range(config).uid)) for path in closed)
            return Problem(f"{blocked} is closed to the root of containers", fix)
    except StoreError as error:
        return Problem(error.message, error.hint)
    except ContainerError as error:
        return Problem(f"cannot be tried: {error.message.splitlines()[0]}", "first mend what is named above")
    return None


def _opening(folder: Path, uid: int) -> list[str]:
    """The command that lets `uid` pass, with what it takes to run it."""
    command = ["setfacl", "-m", f"u:{uid}:--x", str(folder)]
    return command if folder.stat().st_uid == os.getuid() else [*privilege().split(), *command]


def _make_folder(folder: Path, kind: Kind) -> None:
    try:
        check(folder, kind)
        for path in (*reversed(folder.parents), folder):
            if not path.exists():
                path.mkdir(exist_ok=True)
                path.chmod(0o755)  # whatever the umask: containers have to pass
        mark(folder, kind)
    except OSError as error:
        raise HostError(
            f"cannot make {folder}: {error.strerror}", hint=f"set {kind.variable} to a folder of yours"
        ) from error
