"""Processes that LXC would wait for in vain: what outlives the command, and a first one that died as it started."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path


class Orphans:
    """Watches one run of ``lxc-execute``: its child is the first process inside, whose first child is the command.

    Parameters
    ----------
    notice_s : float, optional
        Seconds that LXC may take to notice that the first process has ended; a moment does, unless it never will.

    Attributes
    ----------
    died : bool
        The first process was killed before it had started the command. LXC would wait for its messages for ever,
        because it holds the other end of the line itself; so it was killed, too.
    """

    def __init__(self, notice_s: float = 20) -> None:
        self._notice_s = notice_s
        self.died = False
        self._command = 0
        self._dead_since = 0.0

    def watch(self, pid: int) -> None:
        """Look once at the children of lxc-execute, and end what outlives the command."""
        children = _children(pid)
        self._end_waiting(pid, children)
        for first in children:
            # It calls itself so as soon as it has started the command, and not before.
            if _read(first, "cmdline").split("\0")[0] != "init":
                continue
            below = _children(first)
            if not self._command and below:
                oldest = min(below, key=lambda child: _inner(child, "NSpid"))
                session = _inner(oldest, "NSsid")
                # The command leads a session of its own as soon as it has begun; before, it is in that of the first
                # process, which is 1 or from outside, 0. Who is in one whose leader is gone has outlived the command.
                if session > 1:
                    self._command = oldest if session == _inner(oldest, "NSpid") else -1
            if self._command and self._command not in below:
                for orphan in below:
                    _end(orphan)

    def _end_waiting(self, pid: int, children: list[int]) -> None:
        if not children or any(_fields(child, "State")[:1] != ["Z"] for child in children):
            self._dead_since = 0.0
        elif not self._dead_since:
            self._dead_since = time.monotonic()
        elif time.monotonic() - self._dead_since > self._notice_s:
            self.died = True
            _end(pid)


def _end(pid: int) -> None:
    with suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    return [int(child) for child in _read(pid, f"task/{pid}/children").split()]


def _inner(pid: int, field: str) -> int:
    """The number of a process or its session in its own namespace; the command's is lower than its descendants'."""
    return int((_fields(pid, field) or [str(pid)])[-1])


def _fields(pid: int, name: str) -> list[str]:
    """The words of a line of the status of a process; none if it is gone."""
    lines = [line for line in _read(pid, "status").splitlines() if line.startswith(f"{name}:")]
    return lines[0].split()[1:] if lines else []


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""
