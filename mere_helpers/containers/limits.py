"""Limits of a container: memory and processes through cgroups where we may make them, the rest through rlimits."""

from __future__ import annotations

import errno
import os
import resource
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

_CGROUPS = Path("/sys/fs/cgroup")

#: Processes and open files are plenty for any build, and stop one that has run wild.
_PROCESSES, _OPEN_FILES = 8192, 4096

#: The part of the machine's memory that one container may use.
_MEMORY_PART = 0.9


#: Seconds to wait for processes that were killed.
_PATIENCE = 2.0


class Limits:
    """The limits of one run of a container; use it in a ``with`` block.

    Where cgroups cannot be written, which is common for an ordinary user, there are fewer limits and no error.

    Parameters
    ----------
    name : str
        The container's unique name.

    Attributes
    ----------
    peak_bytes : int
        The most memory seen by `sample`; 0 where cgroups do not tell.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.peak_bytes = 0
        self._groups: list[Path] = []

    def __enter__(self) -> Self:
        memory = str(int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * _MEMORY_PART))
        for base in _bases():
            group = base / self.name
            with suppress(OSError):
                group.mkdir(exist_ok=True)
                # Of these names each version of cgroups knows its own; a group that knows none is of no use.
                wanted = (("memory.limit_in_bytes", memory), ("memory.max", memory), ("pids.max", str(_PROCESSES)))
                known = [(group / name, value) for name, value in wanted if (group / name).exists()]
                if known:
                    self._groups.append(group)
                for file, value in known:
                    file.write_text(value)
                if not known:
                    group.rmdir()
        return self

    def __exit__(self, *_: object) -> None:
        forget(self.name)
        self._groups = []

    @property
    def settings(self) -> list[str]:
        """Lines for the container's configuration."""
        lines = ["lxc.prlimit.core = 0"]
        for name, kind, most in (
            ("nofile", resource.RLIMIT_NOFILE, _OPEN_FILES),
            ("nproc", resource.RLIMIT_NPROC, _PROCESSES),
        ):
            # Nobody but root may go above the limit he has.
            hard = resource.getrlimit(kind)[1]
            lines.append(f"lxc.prlimit.{name} = {most if hard == resource.RLIM_INFINITY else min(most, hard)}")
        # LXC's own groups have to be made below ours.
        return lines + (["lxc.cgroup.relative = 1"] if self._groups else [])

    def enter(self, command: list[str]) -> list[str]:
        """The command that joins the groups and becomes `command`."""
        if not self._groups:
            return command
        join = "".join('echo $$ > "$1"; shift; ' for _ in self._groups)
        files = [str(group / "cgroup.procs") for group in self._groups]
        return ["sh", "-c", f'{join}exec "$@"', "sh", *files, *command]

    def sample(self) -> None:
        """Look at the memory in use now, without what only caches files."""
        for group in self._groups:
            with suppress(OSError, ValueError):
                lines = (group / "memory.stat").read_text().splitlines()
                use = {name: int(value) for name, value in (line.split() for line in lines)}
                # The sums over the groups below have these names in version 1, and those in version 2.
                names = ("total_rss", "total_shmem") if "total_rss" in use else ("anon", "shmem")
                self.peak_bytes = max(self.peak_bytes, sum(use.get(name, 0) for name in names))


def forget(name: str) -> None:
    """Remove the groups of the container `name`, also LXC's own if it was killed, as far as we may."""
    until = time.monotonic() + _PATIENCE
    while True:
        groups = [base / name for base in _bases()]
        groups += [*_CGROUPS.glob(f"lxc.*.{name}"), *_CGROUPS.glob(f"*/lxc.*.{name}")]
        busy = [group for group in groups if not _remove(group)]
        # Processes that were killed hold their group until the kernel has cleared them away.
        if not busy or time.monotonic() > until:
            return
        time.sleep(0.02)


def _bases() -> list[Path]:
    """The cgroups we are in, of the controllers that can limit memory or processes."""
    found = []
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                if controller in ("memory", "pids"):
                    found.append(_CGROUPS / controller / path.strip("/"))
            if not controllers and (_CGROUPS / "cgroup.controllers").exists():
                found.append(_CGROUPS / path.strip("/"))
    return [base for base in found if os.access(base, os.W_OK)]


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
