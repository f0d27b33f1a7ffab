"""The directory of one container in the store: ours while we live, and removed by others if we are killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

from .. import locks
from ..config import Config, clean_environment
from .idmap import make_private, mapped_root_command
from .limits import remove_groups

#: How the name of a directory begins that is being removed.
_GONE = "gone-"

#: Here LXC, when root runs it, makes a directory for the lock of each container, and leaves it there.
_LOCKS = Path("/run/lxc/lock")


def lxc_environment(folder: Path) -> dict[str, str]:
    """For LXC's programs: they look for files and locks of their own here, and not in the user's home."""
    return clean_environment(HOME=str(folder), XDG_RUNTIME_DIR=str(folder))


def claim(config: Config) -> tuple[Path, int]:
    """Make the directory of a new container, as `locks.claim` does, and remove those whose makers are dead."""
    above = config.store / "containers"
    make_private(config, above)
    return locks.claim(above, f"mere-{os.getpid()}-", partial(_remove, config))


def release(config: Config, folder: Path, alive: int) -> None:
    """Take away the directory of a container in which nothing runs any more.

    It has lost its name when this returns. Its files, which may be ten thousands, go in the background; the lock
    is held until they are gone, so that whoever finds it free finishes the work.
    """
    name = folder.name.removeprefix(_GONE)
    gone = folder.with_name(_GONE + name)
    try:
        folder.rename(gone)
        shutil.rmtree(f"{_LOCKS}{folder.with_name(name)}", ignore_errors=True)
        remover = subprocess.Popen(
            mapped_root_command(config, ["nice", "rm", "-rf", gone], own=True),
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
    locks.remove_dead(config.store / "containers", partial(_remove, config))


def _remove(config: Config, folder: Path, alive: int) -> None:
    if (folder / "conf").exists():
        # Its processes died with their maker; this is for the moment that may take.
        with suppress(OSError, subprocess.TimeoutExpired):
            command: list[str | Path] = ["lxc-stop", "-k", "-P", folder, "-n", folder.name]
            subprocess.run(command, capture_output=True, timeout=20, env=lxc_environment(folder))
    remove_groups(folder.name)
    release(config, folder, alive)
