"""A program followed to its end: its output goes to a file, it is killed when its time is up, its cost is counted."""

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

#: How much of the end of the output is kept, in bytes.
_TAIL = 16384

#: Seconds between two looks at the clock and the memory.
_PULSE_S = 0.25

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
    timed_out : bool
        It was killed because its time was up.
    """

    code: int
    tail: bytes
    wall_s: float
    cpu_s: float
    largest_bytes: int
    timed_out: bool


def follow(
    command: Sequence[str],
    log: BinaryIO,
    *,
    cwd: Path,
    environment: Mapping[str, str],
    timeout: float | None = None,
    stop: threading.Event | None = None,
    pulse: Callable[[], None] = lambda: None,
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
        Called a few times a second.
    """
    begin = time.monotonic()
    output, inlet = os.pipe()
    # Programs open /dev/stderr, which is this pipe; in a container they are not its owner.
    os.fchmod(inlet, 0o666)
    os.set_blocking(output, False)
    try:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
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
    tail = bytearray()
    timed_out = False
    try:
        waiting = select.poll()
        waiting.register(output, select.POLLIN)
        waiting.register(handle, select.POLLIN)
        sampled = begin
        while not any(file == handle for file, _ in waiting.poll(_PULSE_S * 1000)):
            if not _copy(output, log, tail):
                waiting.unregister(output)
            now = time.monotonic()
            if now - sampled >= _PULSE_S:
                pulse()
                sampled = now
            timed_out = timeout is not None and now - begin >= timeout
            if timed_out or (stop is not None and stop.is_set()):
                break
    finally:
        _kill(process.pid, handle)
        _, status, usage = os.wait4(process.pid, 0)
        # Popen must not wait for it a second time.
        process.returncode = os.waitstatus_to_exitcode(status)
        os.close(handle)
        with open(output, "rb"):
            _copy(output, log, tail)
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    # A new process begins as a copy of ours, and the system counts our own size as its first.
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    largest = usage.ru_maxrss * 1024 if usage.ru_maxrss > ours else 0
    return Ended(code, bytes(tail), time.monotonic() - begin, usage.ru_utime + usage.ru_stime, largest, timed_out)


def _copy(output: int, log: BinaryIO, tail: bytearray) -> bool:
    """Copy what there is to read; tell whether more can come."""
    with suppress(BlockingIOError):
        while data := os.read(output, 65536):
            log.write(data)
            tail += data
            del tail[:-_TAIL]
        return False
    return True


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
