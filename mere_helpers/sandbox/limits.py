"""Limits of builds: memory that all of them share, processes, open files, and the size of a file.

A few times a second we look at the processes of a build and the memory that they use. When all builds of this process
together use too much, the one that uses most is ended, and its error says why. Should memory run out between two looks,
the kernel ends a process of a build rather than one of the user's. Where LXC can make a cgroup (version 2) for a
container, that is a second limit.
"""

from __future__ import annotations

import errno
import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

from ..text import size

_CGROUPS = Path("/sys/fs/cgroup")

#: Processes, open files and bytes in a file are plenty for any build, and stop one that has run wild.
_PROCESSES, _OPEN_FILES, _FILE_BYTES = 8192, 4096, 16 << 30

#: The part of the memory that all builds together may use, and the part at which the kernel ends one if we have not.
_MEMORY_PART, _LAST_PART = 0.9, 0.95

#: Seconds to wait for processes that were killed.
_PATIENCE = 2.0

_PAGE = os.sysconf("SC_PAGE_SIZE")

#: From so many bytes of shared memory up it matters whether that is a file's, which does not count, or a build's own.
_SHARED_MATTERS = 64 << 20


class Limits:
    """The limits of one build; use it in a ``with`` block.

    What each build of this process uses is kept with the class, behind a lock: they share one limit.

    Parameters
    ----------
    memory : int, optional
        Bytes that all builds of this process may use together; by default nine tenths of what there is for us.
    processes : int, optional
        How many the build may have at a time; the kernel allows no more, and from half of them on it is ended.

    Attributes
    ----------
    peak_bytes : int
        The most memory seen by `sample`.
    """

    _guard: ClassVar[threading.Lock] = threading.Lock()
    _used: ClassVar[dict[Limits, int]] = {}

    def __init__(self, *, memory: int | None = None, processes: int = _PROCESSES) -> None:
        self.memory = int(available_bytes() * _MEMORY_PART) if memory is None else memory
        self.processes = _allowed(resource.RLIMIT_NPROC, processes)
        self.peak_bytes = 0
        self._ended = _ended_by_kernel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._used.pop(self, None)

    @property
    def settings(self) -> list[str]:
        """Lines for the container's configuration."""
        lines = [
            "lxc.prlimit.core = 0",
            f"lxc.prlimit.nofile = {_allowed(resource.RLIMIT_NOFILE, _OPEN_FILES)}",
            f"lxc.prlimit.nproc = {self.processes}",
            f"lxc.prlimit.fsize = {_allowed(resource.RLIMIT_FSIZE, _FILE_BYTES)}",
        ]
        controllers = _CGROUPS / "cgroup.subtree_control"
        with suppress(OSError):
            # LXC makes the group of a container right below; for other users than root it is not ours to write to.
            if os.access(controllers, os.W_OK) and {"memory", "pids"} <= set(controllers.read_text().split()):
                lines.append(f"lxc.cgroup2.memory.max = {int(self.memory / _MEMORY_PART * _LAST_PART)}")
                lines.append("lxc.cgroup2.memory.oom.group = 1")
                lines.append(f"lxc.cgroup2.pids.max = {self.processes}")
        return lines

    def sample(self, pid: int) -> str:
        """Look at a process and its descendants; returns why they must end now, nothing if they may go on."""
        family = list(_descendants(pid))
        if len(family) > self.processes // 2:
            return f"it ran more than {self.processes // 2:,} processes at a time"
        used = sum(map(_private, family))
        self.peak_bytes = max(self.peak_bytes, used)
        if self._exceeds(used) and self._exceeds(used := sum(map(_proportional, family))):
            return f"builds used more than {size(self.memory)} of memory together, and this one most: {size(used)}"
        return ""

    def lost_a_process(self) -> bool:
        """Whether the kernel has ended a process of this machine since the limits were made, for want of memory."""
        return _ended_by_kernel() > self._ended

    def _exceeds(self, used: int) -> bool:
        """Whether builds use too much, and this one the most; each one is asked about itself."""
        with self._guard:
            self._used[self] = used
            return sum(self._used.values()) > self.memory and max(self._used, key=self._used.__getitem__) is self


def available_bytes() -> int:
    """The memory of the machine, or what the cgroups that we are in may use of it."""
    found = [os.sysconf("SC_PHYS_PAGES") * _PAGE]
    with suppress(OSError):
        path = Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].strip()
        for group in (_CGROUPS / path, *(_CGROUPS / path).parents):
            with suppress(OSError, ValueError):
                found.append(int((group / "memory.max").read_text()))
    return min(found)


def process_bytes(pid: int, *, exactly: bool = False) -> int:
    """The memory that a process and all its descendants hold; what they share counts once if it is asked `exactly`."""
    return sum(map(_proportional if exactly else _private, _descendants(pid)))


def remove_groups(name: str) -> None:
    """Remove the cgroups that LXC has made for a container, and has left because it was killed; as far as we may."""
    until = time.monotonic() + _PATIENCE
    for group in _CGROUPS.rglob(f"lxc.*.{name}"):
        for path in (*sorted(group.rglob("*/"), reverse=True), group):
            # Processes that were killed hold their group until the kernel has cleared them away.
            while not _is_removed(path) and time.monotonic() < until:
                time.sleep(0.02)


def _is_removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError as error:
        return error.errno != errno.EBUSY
    return True


def _allowed(kind: int, most: int) -> int:
    """Nobody but root may go above the limit he has."""
    hard = resource.getrlimit(kind)[1]
    return most if hard == resource.RLIM_INFINITY else min(most, hard)


def _ended_by_kernel() -> int:
    with suppress(OSError, IndexError):
        return int(Path("/proc/vmstat").read_text().split("\noom_kill ")[1].split()[0])
    return 0


def _descendants(pid: int) -> Iterator[int]:
    """A process, its children, theirs, and so on; those that come and go meanwhile may be missed."""
    waiting = [pid]
    while waiting:
        pid = waiting.pop()
        yield pid
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                waiting += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())


def _private(pid: int) -> int:
    with suppress(OSError, IndexError):
        _, resident, shared, *_ = map(int, _read(f"/proc/{pid}/statm").split())
        own = (resident - shared) * _PAGE
        return own if shared * _PAGE < _SHARED_MATTERS else own + _kilobytes(pid, "status", b"RssShmem:")
    return 0


def _proportional(pid: int) -> int:
    try:
        return _kilobytes(pid, "smaps_rollup", b"Pss_Anon:", b"Pss_Shmem:")
    except OSError:
        return _private(pid)


def _kilobytes(pid: int, file: str, *names: bytes) -> int:
    lines = [line.split() for line in _read(f"/proc/{pid}/{file}").splitlines()]
    return sum(int(words[1]) << 10 for words in lines if words and words[0] in names)


def _read(path: str) -> bytes:
    # A third of what Path.read_bytes costs, and this is done for each process of each build.
    with open(path, "rb", buffering=0) as file:
        return file.read()
