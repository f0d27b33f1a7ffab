"""The folder of one container in the store: ours while we live, removed by whoever comes after us if we were killed."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from ..config import Config, clean_environment
from ..storage.lock import lock
from ..storage.tree import disk_trouble
from .idmap import make_private, mapped_root_command
from .limits import forget

_NUMBERS = itertools.count()

#: How the name of a folder begins that is being removed.
_GONE = "gone-"

#: Here LXC, when root runs it, makes a folder for the lock of each container, and leaves it there.
_LOCKS = Path("/run/lxc/lock")


def lxc_environment(folder: Path) -> dict[str, str]:
    """For LXC's programs: they look for files and locks of their own here, and not in the user's home."""
    return clean_environment(HOME=str(folder), XDG_RUNTIME_DIR=str(folder))


def claim(config: Config) -> tuple[Path, int]:
    """Make the folder of a new container, and remove those whose makers are dead.

    Returns
    -------
    tuple of Path and int
        The folder; and a descriptor whose being open says that we are alive.

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    above = config.store / "containers"
    with disk_trouble():
        make_private(config, above)
        # Between the making of a folder and its lock, nobody must take it for a dead one.
        gate = _lock(above / "lock", wait=True)
        try:
            _remove_dead(config, above)
            while True:
                folder = above / f"mere-{os.getpid()}-{next(_NUMBERS)}"
                # In another PID namespace somebody else may have our number.
                with suppress(FileExistsError):
                    folder.mkdir()
                    return folder, _lock(folder / "alive", wait=True)
        finally:
            os.close(gate)


def release(config: Config, folder: Path, alive: int) -> None:
    """Take away the folder of a container in which nothing runs any more.

    It has lost its name when this returns. Its files, which may be ten thousands, go in the background; the lock
    is held until they are gone, so that whoever finds it free finishes the work.
    """
    name = folder.name.removeprefix(_GONE)
    gone = folder.with_name(_GONE + name)
    try:
        folder.rename(gone)
        shutil.rmtree(f"{_LOCKS}{folder.with_name(name)}", ignore_errors=True)
        command = mapped_root_command(config, ["nice", "rm", "-rf", gone], own=True)
        remover = subprocess.Popen(
            command,
            pass_fds=[alive],
            start_new_session=True,
            cwd="/",
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        threading.Thread(target=remover.wait, daemon=True).start()
    finally:
        os.close(alive)


def remove_dead(config: Config) -> None:
    """Remove what is left of containers whose makers were killed; those of a run that is alive stay."""
    above = config.store / "containers"
    if above.is_dir():
        gate = _lock(above / "lock", wait=True)
        try:
            _remove_dead(config, above)
        finally:
            os.close(gate)


def _remove_dead(config: Config, above: Path) -> None:
    for folder in sorted([*above.glob("mere-*"), *above.glob(f"{_GONE}*")]):
        try:
            alive = _lock(folder / "alive", wait=False)
        except FileNotFoundError:
            # Its removal in the background has just come to its end.
            continue
        if alive < 0:
            continue
        if (folder / "conf").exists():
            # Its processes died with their maker; this is for the moment that may take.
            with suppress(OSError, subprocess.TimeoutExpired):
                command: list[str | Path] = ["lxc-stop", "-k", "-P", folder, "-n", folder.name]
                subprocess.run(command, capture_output=True, timeout=20, env=lxc_environment(folder))
        forget(folder.name)
        release(config, folder, alive)


def _lock(path: Path, *, wait: bool) -> int:
    """Open and lock a file; -1 if somebody else has it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if lock(file, wait=wait):
        return file
    os.close(file)
    return -1
