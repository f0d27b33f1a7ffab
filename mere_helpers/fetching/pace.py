"""What a file may cost: the limits of one transfer, and the thread that ends a transfer which passes them."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from threading import Event as Flag

#: Seconds between two looks at something that is waited for.
TICK = 0.2

#: Seconds to wait for a connection, and for the next bytes on it.
_CONNECTING, _READING = 10, 30


class TransferError(Exception):
    """A transfer did not end well; the message is the reason, as one short line.

    If `missing`, this place has no such file, and another one of the same mirror may have it; if `truncated`, the line
    broke, and the next try may be better.
    """

    def __init__(self, reason: str, *, missing: bool = False, truncated: bool = False) -> None:
        super().__init__(reason)
        self.missing, self.truncated = missing, truncated


@dataclass(frozen=True)
class Limits:
    """What one file may cost before the next mirror is asked.

    `size` is in bytes; the largest source file of the book has less than a tenth of the default. So many bytes per
    second as `rate` says must come, on average over `window` seconds. All may take `total` seconds.
    """

    size: int = 2 << 30
    rate: float = 1024
    window: float = 60
    total: float = 4 * 3600


#: What is used where nobody says anything else.
USUAL = Limits()


class Guard:
    """Watches one transfer from a thread of its own, and shuts its connections when it has to end.

    Whoever reads says how many bytes have come (`count`), and when it waits for the server (`waiting`): that our own
    disk takes its time does not make a server slow.
    """

    def __init__(self, limits: Limits, stop: Flag) -> None:
        self.count = 0
        self.waiting = False
        self._limits = limits
        self._stop = stop
        self._reason = ""
        self._over = Flag()
        self._turn = threading.Lock()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Guard:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with self._turn:
            for connection in self._sockets:
                connection.close()

    @property
    def reason(self) -> str:
        """Why the transfer was ended, or an empty string. A connection that was shut looks like one that has ended."""
        return "interrupted" if self._stop.is_set() else self._reason

    def connect(self, address: tuple[str, int], *_: object) -> socket.socket:
        """Open a connection that is watched from now on, before TLS and the first header."""
        connection = socket.create_connection(address, _CONNECTING)
        connection.settimeout(_READING)
        with self._turn:
            # A second handle, because TLS takes the first one over.
            self._sockets.append(connection.dup())
            if self._reason:
                _shut(connection)
        return connection

    def _watch(self) -> None:
        spent = waited = since = 0.0
        before = 0
        last = time.monotonic()
        while not self._over.wait(min(TICK, self._limits.window / 4)):
            now = time.monotonic()
            # Time in which we were not asked does not count: a machine that is suspended or busy blames no server.
            passed, last = min(now - last, 5 * TICK), now
            spent += passed
            waited += passed if self.waiting else 0
            reason = "interrupted" if self._stop.is_set() else ""
            if spent > self._limits.total:
                reason = f"took longer than {_duration(self._limits.total)}"
            elif waited - since >= self._limits.window:
                if self.count - before < self._limits.rate * self._limits.window:
                    reason = f"slower than {self._limits.rate:,.0f} bytes/s over {_duration(self._limits.window)}"
                since, before = waited, self.count
            if reason:
                with self._turn:
                    self._reason = reason
                    for connection in self._sockets:
                        _shut(connection)
                return


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds:g} s"
