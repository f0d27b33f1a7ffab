"""How much memory there is for builds, and how much a program and all its children hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")

_PAGE = os.sysconf("SC_PAGE_SIZE")

#: From so many bytes of shared memory up it matters whether that is a file's, which does not count, or a build's own.
_SHARED_MATTERS = 64 << 20


def available_bytes() -> int:
    """The memory of the machine, or what the cgroup that we are in may use of it."""
    found = [os.sysconf("SC_PHYS_PAGES") * _PAGE]
    for group in own_groups("memory"):
        with suppress(OSError):
            found.append(_statistics(group).get("hierarchical_memory_limit", found[0]))
        # Version 2 has a limit in each group, and the lowest on the way up counts.
        for above in (group, *group.parents):
            with suppress(OSError, ValueError):
                found.append(int((above / "memory.max").read_text()))
    return min(found)


def own_groups(*controllers: str) -> list[Path]:
    """The cgroups we are in, of these controllers and of version 2."""
    found = []
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            found += [CGROUPS / name / path.strip("/") for name in names.split(",") if name in controllers]
            if not names and (CGROUPS / "cgroup.controllers").exists():
                found.append(CGROUPS / path.strip("/"))
    return found


def group_bytes(group: Path) -> int | None:
    """The memory that the processes in a cgroup hold, without what only caches files; None if it does not tell."""
    try:
        use = _statistics(group)
    except (OSError, ValueError):
        return None
    # The sums over the groups below have these names in version 1, and those in version 2.
    names = ("total_rss", "total_shmem") if "total_rss" in use else ("anon", "shmem")
    return sum(use.get(name, 0) for name in names)


def process_bytes(pid: int, *, exactly: bool = False) -> int:
    """The memory that a process and all its descendants hold, as far as we may look.

    Parameters
    ----------
    pid : int
        The process.
    exactly : bool, optional
        Count memory that several of them share once; this takes the kernel longer. Otherwise the result may be too
        high, and is not too low by much.
    """
    return sum(_proportional(each) if exactly else _private(each) for each in _descendants(pid))


def _statistics(group: Path) -> dict[str, int]:
    lines = (group / "memory.stat").read_text().splitlines()
    return {name: int(value) for name, value in (line.split() for line in lines)}


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
        names = (b"Pss_Anon:", b"Pss_Shmem:")
        return _kilobytes(pid, "smaps_rollup", *names)
    except OSError:
        return _private(pid)


def _kilobytes(pid: int, file: str, *names: bytes) -> int:
    lines = [line.split() for line in _read(f"/proc/{pid}/{file}").splitlines()]
    return sum(int(words[1]) << 10 for words in lines if words and words[0] in names)


def _read(path: str) -> bytes:
    # A third of what Path.read_bytes costs, and this is done for each process of each build.
    with open(path, "rb", buffering=0) as file:
        return file.read()
