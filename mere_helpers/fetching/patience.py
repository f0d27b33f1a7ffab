"""How long to wait, and for how much: the limits of one transfer, and a lock that can be waited for."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from threading import Event as Flag
from typing import IO

from ..errors import SourceError

#: Seconds between two looks at something that is waited for.
TICK = 0.2


class TransferError(Exception):
    """A transfer did not end well; the message is the reason, as one short line.

    Parameters
    ----------
    reason : str
        The message.
    host : bool, optional
        Whether the reason is the host, so that its other files need not be asked for.
    again : bool, optional
        Whether the next try may end otherwise.
    """

    def __init__(self, reason: str, *, host: bool = False, again: bool = False) -> None:
        super().__init__(reason)
        self.host = host
        self.again = again


@dataclass(frozen=True)
class Limits:
    """What one file may cost before the next mirror is asked.

    Attributes
    ----------
    size : int
        Bytes. The largest source file of the book has less than a tenth of the default.
    rate : float
        Bytes per second that must come, on average over `window`.
    window : float
        Seconds.
    total : float
        Seconds.
    """

    size: int = 2 << 30
    rate: float = 1024
    window: float = 60
    total: float = 4 * 3600


#: What is used where nobody says anything else.
USUAL = Limits()


class Pace:
    """Measures how fast bytes come; asked at short intervals.

    Time in which nobody asks does not count, so that a machine that is suspended or busy blames no server.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._last = time.monotonic()
        self._spent = self._waited = 0.0
        self._mark = (0.0, 0)

    def problem(self, count: int, *, waiting: bool = True) -> str:
        """Why to give up, after `count` bytes in all, or an empty string.

        Parameters
        ----------
        count : int
            Bytes so far.
        waiting : bool, optional
            Whether the server is waited for; that our own disk takes its time does not make it slow.
        """
        now = time.monotonic()
        passed, self._last = min(now - self._last, 5 * TICK), now
        self._spent += passed
        self._waited += passed if waiting else 0
        if self._spent > self._limits.total:
            return f"took longer than {_duration(self._limits.total)}"
        since, before = self._mark
        if self._waited - since >= self._limits.window:
            if count - before < self._limits.rate * self._limits.window:
                return f"slower than {self._limits.rate:,.0f} bytes/s over {_duration(self._limits.window)}"
            self._mark = (self._waited, count)
        return ""


def at_most(limit: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces, as long as they have no more than so many bytes in all.

    Raises
    ------
    TransferError
        There are more; the piece that was too much is not handed on.
    """
    count = 0
    for piece in pieces:
        count += len(piece)
        if count > limit:
            raise TransferError(f"more than the limit of {limit:,} bytes")
        yield piece


def wait_for(lock: IO, stop: Flag) -> None:
    """Lock an open file; whoever waits for it can be stopped, which a thread that sleeps in the system call cannot.

    Raises
    ------
    SourceError
        It was stopped.
    """
    while True:
        with suppress(BlockingIOError):
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if stop.wait(TICK):
            raise SourceError("interrupted")


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds:g} s"
