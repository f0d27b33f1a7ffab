"""Everything that a run has started, found by its place below us, whatever has died between it and us."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Process:
    """A process as ``/proc`` tells of it.

    Attributes
    ----------
    pid, parent : int
        Its number and its parent's.
    command : str
        Its words, or its name where it has none.
    depth : int
        In how many PID namespaces it is below the first one.
    first : bool
        It is the first process of the innermost one: when it dies, all others in there do.
    """

    pid: int
    parent: int
    command: str
    depth: int
    first: bool

    def __str__(self) -> str:
        return f"{self.pid} ({self.command[:60]})"


def adopt_orphans() -> None:
    """From now on those of our descendants whose parents die are our children: nobody leaves the tree below us."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(*, without: Iterable[int] = (), root: int | None = None) -> list[Process]:
    """All living processes below us, or below `root`, but for those in `without` and what they start."""
    found: dict[int, list[Process]] = {}
    ours = os.getpid()
    left_out = set(without)
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) not in left_out:
            with suppress(OSError, ValueError, IndexError):
                stat = Path("/proc", name, "stat").read_text()
                word, (state, parent, *_) = (
                    stat[stat.index("(") + 1 : stat.rindex(")")],
                    stat.rpartition(")")[2].split(),
                )
                if state in "ZX":
                    continue
                status = Path("/proc", name, "status").read_text()
                numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
                command = Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                process = Process(
                    int(name),
                    int(parent),
                    command.strip() or word,
                    len(numbers) - 1,
                    len(numbers) > 1 and numbers[-1] == "1",
                )
                found.setdefault(int(parent), []).append(process)
    below: list[Process] = []
    pending = [ours if root is None else root]
    while pending:
        children = found.get(pending.pop(), [])
        below += children
        pending += [child.pid for child in children]
    return below


def reap(kept: Iterable[int]) -> None:
    """Wait for our orphans that have ended, as init would do; for the children in `kept` somebody else waits."""
    kept = set(kept)
    with suppress(OSError):
        for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
            if int(child) not in kept:
                with suppress(OSError):
                    os.waitpid(int(child), os.WNOHANG)


def kill(processes: Iterable[Process]) -> None:
    """Send SIGKILL to all; who has ended meanwhile is no matter."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def kill_all(without: Iterable[int]) -> None:
    """Kill everything below us until nothing is left, however quickly it multiplies."""
    until = time.monotonic() + 30
    while (left := descendants(without=without)) and time.monotonic() < until:
        kill(left)
        reap(without)
        time.sleep(0.02)


def await_end(seconds: float, *, without: Iterable[int]) -> list[Process]:
    """Wait until nothing runs below us; the result is who is still there after so many seconds."""
    until = time.monotonic() + seconds
    while (left := descendants(without=without)) and time.monotonic() < until:
        reap(without)
        time.sleep(0.05)
    reap(without)
    return left
