"""What is taken away at once and removed in the background, so that nobody waits for it."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

#: Nanoseconds on the clock of `discard`: what has an earlier time is not from this process, whatever its number is.
_BEGAN = time.monotonic_ns()


def discard(path: Path, trash: Path) -> None:
    """Take a folder away at once; its files are removed in the background, which can take longer than to write them.

    Parameters
    ----------
    path : Path
        The folder; none there is fine.
    trash : Path
        A folder on the same file system. What is found in it later can be removed.
    """
    if path.exists():
        trash.mkdir(parents=True, exist_ok=True)
        aside = trash / f"{path.name}.{os.getpid()}.{time.monotonic_ns()}"
        path.rename(aside)
        process = subprocess.Popen(["nice", "rm", "-rf", aside], start_new_session=True, stderr=subprocess.DEVNULL)
        threading.Thread(target=process.wait, daemon=True).start()


def empty_trash(trash: Path) -> None:
    """Remove, in the background, what dead processes have discarded; the living are at it themselves."""
    ours: list[Path] = []
    for path in trash.glob("*"):
        if _abandoned(path):
            name = path.name.split(".")[0]
            aside = trash / f"{name}.{os.getpid()}.{time.monotonic_ns()}"
            with suppress(FileNotFoundError):  # gone, or another run was quicker
                path.rename(aside)
                ours.append(aside)
    if ours:
        # Directories may be read-only, which rm does not get over. Files are never touched: to remove a name, its
        # directory is all that has to be writable, and a file may have another name that somebody still needs.
        script = 'find "$@" -type d ! -perm -700 -exec chmod u+rwx {} \\;; rm -rf "$@"'
        command = ["nice", "sh", "-c", script, "sh", *map(str, ours)]
        process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
        threading.Thread(target=process.wait, daemon=True).start()


def _abandoned(path: Path) -> bool:
    """Whether the process that has discarded a folder is no more; its number and the time end the name."""
    *_, process, when = ["", "", *path.name.split(".")]
    if not (process.isdecimal() and when.isdecimal()):
        return True
    if int(process) == os.getpid():
        return int(when) < _BEGAN
    return not Path("/proc", process).exists()
