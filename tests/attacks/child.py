"""A function tried in a process of its own: what hangs, or wants all the memory there is, is found out and ended."""

from __future__ import annotations

import os
import pickle
import resource
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mere_helpers.errors import MereError


@dataclass(frozen=True)
class Ended:
    """How it ended.

    Attributes
    ----------
    said : str
        What it returned, or the error's text.
    error : str
        The kind of error, or nothing.
    wrong : list of str
        What no hostile input may bring about: an error that is none of ours, too much memory, no end.
    """

    said: str
    error: str
    wrong: list[str]


def in_child(function: Callable[[], Any], *, seconds: float, memory: int = 0, file: int = 0) -> Ended:
    """Call a function in a fork of this process.

    Parameters
    ----------
    function : callable
        What it returns is made text.
    seconds : float
        After which it is killed, with all that it has started.
    memory, file : int, optional
        The most bytes that it may have more than now, and may write to one file. What it starts may raise the second.
    """
    ours, its = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            os.close(ours)
            _limit(memory, file)
            with os.fdopen(its, "wb") as writer:
                writer.write(pickle.dumps(_outcome(function)))
        finally:
            # Whatever happens, this copy of the tests must not go on.
            os._exit(0)
    os.close(its)
    data, deadline = b"", time.monotonic() + seconds
    with os.fdopen(ours, "rb", buffering=0) as reader:
        while select.select([reader], [], [], max(0, deadline - time.monotonic()))[0] and (more := reader.read(65536)):
            data += more
    try:
        said, error, wrong = pickle.loads(data)
    except (EOFError, pickle.UnpicklingError):
        _end(pid)
        return Ended("", "", [f"no end after {seconds:g} s"])
    os.waitpid(pid, 0)
    return Ended(said, error, wrong)


def _limit(memory: int, file: int) -> None:
    if memory:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, resource.RLIM_INFINITY))
    if file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file, resource.RLIM_INFINITY))


def _outcome(function: Callable[[], Any]) -> tuple[str, str, list[str]]:
    try:
        return str(function()), "", []
    except MereError as error:
        return str(error), type(error).__name__, []
    except BaseException as error:
        kind = type(error).__name__
        return str(error), kind, [f"{kind} in place of an error of ours: {error!s:.200}"]


def _end(pid: int) -> None:
    """Kill a process and everything below it, the lowest last, so that none is lost sight of."""
    below = [pid]
    for one in below:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            below += map(int, task.read_text().split())
    for one in below:
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            continue
    os.waitpid(pid, 0)
