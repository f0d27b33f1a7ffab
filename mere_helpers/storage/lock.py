"""Locks between processes, by name; the system frees them when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import BuildError
from .tree import disk_trouble


class Locks:
    """Named locks, each a file in one folder.

    Parameters
    ----------
    folder : Path
        Made when the first lock is taken. The files stay: removing one that another process is about to lock would
        give two holders.
    stop : threading.Event
        Once it is set, nobody waits any more.
    """

    def __init__(self, folder: Path, stop: threading.Event) -> None:
        self._folder = folder
        self._stop = stop
        self._held = threading.local()

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Take the lock, waiting for it if need be; a thread may take again what it already holds.

        Raises
        ------
        StoreError
            The lock file cannot be made.
        BuildError
            The run was stopped while it waited.
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
                    raise BuildError(f"stopped while somebody else was busy with {name}")
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
