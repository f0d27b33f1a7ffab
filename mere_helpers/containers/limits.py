"""Limits of builds: memory that all of them share, processes, open files, and the size of a file.

A few times a second we look at the memory that all processes of a build use. When all builds of this process together
use too much, the one that uses most is ended, and its error says why. Should memory run out between two looks, the
kernel ends a process of a build rather than one of the user's.

Where we may make cgroups they tell how much is used, and are a second limit of memory and processes. An ordinary user
often may not; then we count process by process.
"""

from __future__ import annotations

import errno
import os
import resource
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

from ..report import size
from .memory import CGROUPS, available_bytes, group_bytes, own_groups, process_bytes

#: Processes, open files and bytes in a file are plenty for any build, and stop one that has run wild.
_PROCESSES, _OPEN_FILES, _FILE_BYTES = 8192, 4096, 16 << 30

#: The part of the memory that all builds together may use, and the part at which the kernel stops them if we have not.
_MEMORY_PART, _LAST_PART = 0.9, 0.95

#: Seconds to wait for processes that were killed.
_PATIENCE = 2.0

# A shell that joins the groups and offers itself to the kernel, should that need memory, and becomes the program.
_ENTER = 'while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; { echo 1000 > /proc/self/oom_score_adj; } 2> '
_ENTER += '/dev/null; exec "$@"'


class Limits:
    """The limits of one build; use it in a ``with`` block.

    What each build of this process uses is kept with the class, behind a lock: they share one limit.

    Parameters
    ----------
    name : str
        The build's unique name.
    memory : int, optional
        Bytes that all builds of this process may use together; by default nine tenths of what there is for us.
    processes : int, optional
        How many the build may have at a time.

    Attributes
    ----------
    peak_bytes : int
        The most memory seen by `sample`.
    """

    _guard: ClassVar[threading.Lock] = threading.Lock()
    _used: ClassVar[dict[Limits, int]] = {}

    def __init__(self, name: str, *, memory: int | None = None, processes: int = _PROCESSES) -> None:
        self.name = name
        self.memory = int(available_bytes() * _MEMORY_PART) if memory is None else memory
        self.processes = processes
        self.peak_bytes = 0
        self._groups: list[Path] = []

    def __enter__(self) -> Self:
        last = str(int(self.memory / _MEMORY_PART * _LAST_PART))
        for base in _bases():
            # A group for all builds of this process, with one for each below.
            group = base / f"mere-run-{os.getpid()}" / self.name
            with suppress(OSError):
                _make(group)
                for controller in ("+memory", "+pids"):
                    with suppress(OSError):
                        (group.parent / "cgroup.subtree_control").write_text(controller)
                # Of these names each version of cgroups knows its own; a group that knows none is of no use.
                wanted = [(group.parent / name, last) for name in ("memory.limit_in_bytes", "memory.max")]
                wanted += [(group / "pids.max", str(self.processes)), (group / "memory.oom.group", "1")]
                known = [(file, value) for file, value in wanted if file.exists()]
                if known:
                    self._groups.append(group)
                else:
                    _remove_build(group)
                for file, value in known:
                    file.write_text(value)
        return self

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._used.pop(self, None)
        forget(self.name)
        self._groups = []

    @property
    def settings(self) -> list[str]:
        """Lines for the container's configuration."""
        lines = ["lxc.prlimit.core = 0"]
        for name, kind, most in (
            ("nofile", resource.RLIMIT_NOFILE, _OPEN_FILES),
            ("nproc", resource.RLIMIT_NPROC, self.processes),
            ("fsize", resource.RLIMIT_FSIZE, _FILE_BYTES),
        ):
            # Nobody but root may go above the limit he has.
            hard = resource.getrlimit(kind)[1]
            lines.append(f"lxc.prlimit.{name} = {most if hard == resource.RLIM_INFINITY else min(most, hard)}")
        # LXC's own groups have to be made below ours.
        return lines + (["lxc.cgroup.relative = 1"] if self._groups else [])

    def enter(self, command: list[str]) -> list[str]:
        """The command that joins the groups and becomes `command`."""
        return ["sh", "-c", _ENTER, "sh", *(str(group / "cgroup.procs") for group in self._groups), "--", *command]

    def sample(self, pid: int) -> str:
        """Look at the memory in use now.

        Parameters
        ----------
        pid : int
            The process that `enter` has become.

        Returns
        -------
        str
            Why the build must end now; empty if it may go on.
        """
        told = [use for group in self._groups if (use := group_bytes(group)) is not None]
        used = max(told) if told else process_bytes(pid)
        self.peak_bytes = max(self.peak_bytes, used)
        if any(map(_lost_a_process, self._groups)):
            return "there was no memory left for builds, and the kernel ended one of its processes"
        if self._exceeds(used) and (told or self._exceeds(used := process_bytes(pid, exactly=True))):
            return f"builds used more than {size(self.memory)} of memory together, and this one most: {size(used)}"
        return ""

    def _exceeds(self, used: int) -> bool:
        """Whether builds use too much, and this one the most; each one is asked about itself."""
        with self._guard:
            self._used[self] = used
            return sum(self._used.values()) > self.memory and max(self._used, key=self._used.__getitem__) is self


def forget(name: str) -> None:
    """Remove the groups of the build `name`, also LXC's own if it was killed, as far as we may."""
    until = time.monotonic() + _PATIENCE
    while True:
        ours = [group for base in _bases() for group in base.glob(f"mere-run-*/{name}")]
        others = [*CGROUPS.glob(f"lxc.*.{name}"), *CGROUPS.glob(f"*/lxc.*.{name}")]
        busy = [group for group in ours if not _remove_build(group)]
        busy += [group for group in others if not _remove(group)]
        # Processes that were killed hold their group until the kernel has cleared them away.
        if not busy or time.monotonic() > until:
            return
        time.sleep(0.02)


def _bases() -> list[Path]:
    """The cgroups we are in, of the controllers that can limit memory or processes, if we may make others below."""
    return [base for base in own_groups("memory", "pids") if os.access(base, os.W_OK)]


def _make(group: Path) -> None:
    while True:
        # Another build that ends may take the group above away, until this one is in it.
        with suppress(FileNotFoundError):
            return group.mkdir(parents=True, exist_ok=True)


def _lost_a_process(group: Path) -> bool:
    """Whether the kernel has ended a process of the group because there was no memory left."""
    # A group below may vanish while we look: LXC removes its own when a command has ended.
    with suppress(OSError):
        for file in (group / "memory.events", *group.rglob("memory.oom_control")):
            with suppress(OSError):
                words = file.read_text().split()
                if "oom_kill" in words and words[words.index("oom_kill") + 1] != "0":
                    return True
    return False


def _remove_build(group: Path) -> bool:
    """As `_remove`; the last build of a run also removes the group of all."""
    gone = _remove(group)
    with suppress(OSError):
        group.parent.rmdir()
    return gone


def _remove(group: Path) -> bool:
    """False if somebody is still in the group; what is not ours to remove stays, and is nobody's fault."""
    gone = True
    try:
        for below in group.iterdir():
            if below.is_dir():
                gone &= _remove(below)
        group.rmdir()
    except OSError as error:
        return gone and error.errno != errno.EBUSY
    return gone
