"""Locks between processes, by name; the system frees them when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import StoppedError
from .files import disk_trouble


class Locks:
    """Named locks, each a file in one folder. Once `stop` is set, nobody waits any more.

    The files stay: removing one that another process is about to lock would give two holders.
    """

    def __init__(self, folder: Path, stop: threading.Event | None = None) -> None:
        self._folder = folder
        self._stop = stop or threading.Event()
        self._held = threading.local()

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Take the lock, waiting for it if need be; a thread may take again what it already holds.

        StoreError: its file cannot be made. StoppedError: the run was stopped while it waited.
        """
        held = self._held.__dict__.setdefault("names", set())
        if name in held:
            yield
            return
        file = self._open(name)
        try:
            # Asked for again and again, because a thread that sleeps in the system call cannot be stopped.
            while not lock(file):
                if self._stop.wait(0.1):
                    raise StoppedError(f"stopped while somebody else was busy with {name}")
            held.add(name)
            yield
        finally:
            held.discard(name)
            os.close(file)

    @contextmanager
    def try_hold(self, name: str) -> Iterator[bool]:
        """Take the lock if it is free; says whether it was."""
        file = self._open(name)
        try:
            yield lock(file)
        finally:
            os.close(file)

    def _open(self, name: str) -> int:
        with disk_trouble():
            self._folder.mkdir(parents=True, exist_ok=True)
            return os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def lock(file: int, *, wait: bool = False) -> bool:
    """Lock an open file or directory, waiting for it if that is asked for; says whether it is ours now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def claim(above: Path, prefix: str, remove: Callable[[Path, int], None]) -> tuple[Path, int]:
    """Make a directory that is ours while we live, after removing those whose makers are dead, as `remove_dead` does.

    Its name begins with `prefix`. The descriptor that is returned with it holds its lock as long as it is open: numbers
    of processes are used again, and mean nothing in another container.
    """
    with disk_trouble():
        above.mkdir(parents=True, exist_ok=True)
        with _only_one(above):
            _remove_dead(above, remove)
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=above))
            folder.chmod(0o755)
            return folder, _open_locked(folder, wait=True)


def remove_dead(above: Path, remove: Callable[[Path, int], None]) -> None:
    """Let `remove`, given a directory and the descriptor of its lock, remove each that `claim` has made for the dead.

    It also closes the descriptor.
    """
    if above.is_dir():
        with _only_one(above):
            _remove_dead(above, remove)


@contextmanager
def _only_one(above: Path) -> Iterator[None]:
    """Between the making of a directory and its lock, nobody must take it for a dead one."""
    gate = _open_locked(above, wait=True)
    try:
        yield
    finally:
        os.close(gate)


def _remove_dead(above: Path, remove: Callable[[Path, int], None]) -> None:
    for left in sorted(above.iterdir()):
        # A file, a link, or gone: its removal in the background has just come to its end.
        with suppress(OSError):
            alive = _open_locked(left)
            if alive >= 0:
                remove(left, alive)


def _open_locked(folder: Path, *, wait: bool = False) -> int:
    """Open and lock a directory; -1 if somebody else has it."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if lock(file, wait=wait):
        return file
    os.close(file)
    return -1
