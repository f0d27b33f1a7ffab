"""A program followed to its end: its output goes to a file, it is killed when it exceeds a limit, its cost is known."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..report import size
from ..storage.tree import reserve_bytes

#: How much of the end of the output is kept, in bytes.
_TAIL = 16384

#: Bytes that a program may print. The most that any build prints is some MiB.
LOG_BYTES = 1 << 30

#: Files for which a disk keeps room, so that what is finished can still be written down.
RESERVE_FILES = 1000

#: Output is read in pieces of this size in bytes, and after so many of them the limits have their turn. Together
#: they are more than fits into a pipe.
_PIECE, _PIECES = 65536, 17

#: Seconds between two looks at the memory and the disk.
_PULSE_S = 0.25

#: The same for the watch on the processes in the first half second.
_FIRST_PULSE_S = 0.01

#: The kernel ends a program when its parent dies, but says nothing of a parent that was dead before it was asked to.
_ALIVE = '[ "$PPID" = "$0" ] && exec "$@"'

#: Seconds that a program gets to tidy up after its children were killed.
_PATIENCE_S = 3.0


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes
    ----------
    code : int
        Its exit status; 128 + n after signal n.
    tail : bytes
        The end of what it printed.
    wall_s : float
        Elapsed time in seconds.
    cpu_s : float
        Processor time of it and all its children, in seconds.
    largest_bytes : int
        The most memory that any single one of its processes held; 0 if that was less than we hold ourselves.
    reason : str
        Why we have killed it, or why its result is worth nothing; empty when it ended by itself and all was well.
    """

    code: int
    tail: bytes
    wall_s: float
    cpu_s: float
    largest_bytes: int
    reason: str = ""


def follow(
    command: Sequence[str],
    log: BinaryIO,
    *,
    cwd: Path,
    environment: Mapping[str, str],
    timeout: float | None = None,
    stop: threading.Event | None = None,
    pulse: Callable[[int], str] = lambda pid: "",
    watch: Callable[[int], None] = lambda pid: None,
    log_limit: int = LOG_BYTES,
    disk: Path | None = None,
    reserve: int | None = None,
) -> Ended:
    """Run a program that reads nothing, and wait for it.

    When we are killed the kernel kills the program; when we leave early, by an exception or Ctrl-C, we do.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    log : binary file
        Gets its output, both kinds.
    cwd, environment : Path, mapping
        Where it runs, and its whole environment.
    timeout : float, optional
        Seconds until it is killed.
    stop : threading.Event, optional
        Once it is set, the program is killed.
    pulse : callable, optional
        Called a few times a second, and once more when the program has ended by itself, with its process id. If it
        returns a reason, the program is killed.
    watch : callable, optional
        Called with the process id as often as `pulse`, and more often at the beginning.
    log_limit : int, optional
        Bytes of output after which the program is killed.
    disk : Path, optional
        A directory on the disk that the program fills.
    reserve : int, optional
        Bytes; when less is free on that disk, the program is killed. By default 512 MiB; of a small disk, a twentieth.
    """
    begin = time.monotonic()
    output, inlet = os.pipe()
    # Programs open /dev/stderr, which is this pipe; in a container they are not its owner.
    os.fchmod(inlet, 0o666)
    os.set_blocking(output, False)
    try:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "sh", "-c", _ALIVE, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=inlet,
            stderr=inlet,
            cwd=cwd,
            env=dict(environment),
            start_new_session=True,
        )
    except BaseException:
        os.close(output)
        raise
    finally:
        os.close(inlet)
    handle = os.pidfd_open(process.pid)
    printed = _Output(output, log)
    reason = ""
    try:
        waiting = select.poll()
        waiting.register(output, select.POLLIN)
        waiting.register(handle, select.POLLIN)
        sampled = watched = begin
        pace = _FIRST_PULSE_S
        prints = True
        while not any(file == handle for file, _ in waiting.poll(pace * 1000)):
            if prints and not printed.copy():
                waiting.unregister(output)
                prints = False
            now = time.monotonic()
            pace = _FIRST_PULSE_S if now - begin < 2 * _PULSE_S else _PULSE_S
            if now - watched >= pace:
                watch(process.pid)
                watched = now
            if now - sampled >= _PULSE_S:
                reason = pulse(process.pid) or _full(disk, reserve)
                sampled = now
            if timeout is not None and now - begin >= timeout:
                reason = f"still running after {timeout:g} s"
            if printed.bytes > log_limit:
                reason = f"it printed more than {size(log_limit)}"
            if stop is not None and stop.is_set():
                reason = "stopped"
            if reason:
                break
        else:
            reason = pulse(process.pid)
    finally:
        _kill(process.pid, handle)
        _, status, usage = os.wait4(process.pid, 0)
        # Popen must not wait for it a second time.
        process.returncode = os.waitstatus_to_exitcode(status)
        os.close(handle)
        with open(output, "rb"):
            printed.copy()
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    # A new process begins as a copy of ours, and the system counts our own size as its first.
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    largest = usage.ru_maxrss * 1024 if usage.ru_maxrss > ours else 0
    cpu_s = usage.ru_utime + usage.ru_stime
    return Ended(code, bytes(printed.tail), time.monotonic() - begin, cpu_s, largest, reason)


class _Output:
    """What a program prints, on its way into the log."""

    def __init__(self, pipe: int, log: BinaryIO) -> None:
        self.pipe, self.log = pipe, log
        self.tail = bytearray()
        self.bytes = 0

    def copy(self) -> bool:
        """Copy what there is to read, but not for ever from one that does not stop; tell whether more can come."""
        with suppress(BlockingIOError):
            for _ in range(_PIECES):
                data = os.read(self.pipe, _PIECE)
                if not data:
                    return False
                self.log.write(data)
                self.bytes += len(data)
                self.tail += data
                del self.tail[:-_TAIL]
        return True


def _full(disk: Path | None, reserve: int | None) -> str:
    """Why a disk counts as full; empty if it does not."""
    if disk is None:
        return ""
    state = os.statvfs(disk)
    if reserve is None:
        reserve = reserve_bytes(disk)
    if state.f_bavail * state.f_frsize < reserve:
        return f"the disk is nearly full: less than {size(reserve)} are free at {disk}"
    # File systems without a fixed number of files say 0.
    if state.f_files and state.f_favail < RESERVE_FILES:
        return f"the disk is nearly full: it has room for less than {RESERVE_FILES:,} more files at {disk}"
    return ""


def _kill(pid: int, handle: int) -> None:
    """End a program that may still run: first its children, so that it can tidy up behind them, then itself."""
    deadline = time.monotonic() + _PATIENCE_S
    while not _ended(handle, 0) and time.monotonic() < deadline:
        # Again and again, because it may just be starting one.
        with suppress(OSError):
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
        _ended(handle, 0.05)
    if not _ended(handle, 0):
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        _ended(handle, None)


def _ended(handle: int, seconds: float | None) -> bool:
    ready = select.poll()
    ready.register(handle, select.POLLIN)
    return bool(ready.poll(None if seconds is None else seconds * 1000))
