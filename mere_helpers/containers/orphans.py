"""What a command in a sandbox has left running is ended when the command is; LXC itself would wait for all of it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


class Orphans:
    """Watches one run of ``lxc-execute``: its child is the first process inside, whose first child is the command."""

    def __init__(self) -> None:
        self._command = 0

    def watch(self, pid: int) -> None:
        """Look once, and end what outlives the command.

        Parameters
        ----------
        pid : int
            Of lxc-execute.
        """
        for first in _children(pid):
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
                    with suppress(OSError):
                        os.kill(orphan, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    return [int(child) for child in _read(pid, f"task/{pid}/children").split()]


def _inner(pid: int, field: str) -> int:
    """The number of a process or its session in its own namespace; the command's is lower than its descendants'."""
    lines = [line for line in _read(pid, "status").splitlines() if line.startswith(f"{field}:")]
    return int(lines[0].split()[-1]) if lines else pid


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""
