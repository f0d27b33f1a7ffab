"""One file from the web, or from a path: whatever the other side does, it ends within limits and can be stopped.

The limits hold from the first connection on: for headers that drip, for redirects and for the body. A thread beside
the transfer shuts the connection when a limit is passed or the run is stopped; a read that waits then ends at once.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_auth_from_url, requote_uri
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError

from .address import printable
from .patience import TICK, Limits, Pace, TransferError, at_most

#: Seconds to wait for a connection, and for the next bytes on it.
PATIENCE = (10, 30)

#: Times that a server may send us elsewhere.
REDIRECTS = 10

#: Statuses that may be another one at the next try, and the seconds before each try.
_PASSING = (429, 500, 502, 503, 504)
_PAUSES = (0.3, 0.6, 1.2)

# At the least rate a piece must fill up well within the time over which the rate is measured.
_PIECE = 1 << 14

# ValueError: a host name or a header that cannot be decoded.
_TROUBLE = (requests.RequestException, HTTPError, http.client.HTTPException, OSError, ValueError)


@dataclass(frozen=True)
class Answer:
    """What a server sends: the bytes it has announced, if it has, and the pieces, which raise TransferError."""

    announced: int | None
    pieces: Iterator[bytes]


@contextmanager
def open_url(url: str, limits: Limits, stop: Flag) -> Iterator[Answer]:
    """Ask for a file; its bytes come as they are sent, never decoded.

    Parameters
    ----------
    url : str
        With ``http`` or ``https``; user info in it is sent to its host only.
    limits : Limits
        For everything together, redirects included.
    stop : threading.Event
        When set, the transfer ends at once.

    Raises
    ------
    TransferError
        The server has no such file, announces too large a one, or did not answer properly or in time.
    """
    with _Guard(limits, stop) as guard, requests.Session() as session:
        session.headers["Accept-Encoding"] = "identity"
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(guard))
        with guard.explained():
            answer = _ask(session, url, guard, stop)
        with answer:
            if answer.status_code != 200:
                raise TransferError(printable(f"{answer.status_code} {answer.reason or ''}", 80))
            length = answer.headers.get("Content-Length", "")
            announced = int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
            if announced is not None and announced > limits.size:
                raise TransferError(f"announces {announced:,} bytes, more than the limit of {limits.size:,} bytes")
            # A short body is an answer like any other: it is set aside and reported with its size.
            answer.raw.enforce_content_length = False
            yield Answer(announced, at_most(limits.size, _pieces(answer.raw, guard)))


def read_path(path: Path, limit: int) -> Iterator[bytes]:
    """The pieces of a regular file.

    Raises
    ------
    OSError
        It is not there, cannot be read, or is no regular file (a pipe could be waited for for ever).
    TransferError
        It is larger than `limit` bytes.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise PermissionError(0, "not a regular file", str(path))
        yield from at_most(limit, iter(lambda: file.read(1 << 20), b""))


class _Guard:
    """Watches one transfer from a thread of its own."""

    def __init__(self, limits: Limits, stop: Flag) -> None:
        self.reason = ""
        self.count = 0
        self._pace = Pace(limits)
        self._tick = min(TICK, limits.window / 4)
        self._stop = stop
        self._waiting = False
        self._over = Flag()
        self._turn = threading.Lock()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> _Guard:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with self._turn:
            for connection in self._sockets:
                connection.close()
            self._sockets.clear()

    def adopt(self, connection: socket.socket) -> socket.socket:
        """Keep a second handle of a connection: TLS takes the first one over."""
        with self._turn:
            self._sockets.append(connection.dup())
            if self.reason:
                _shut(connection)
        return connection

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for the server, which is what the limits are for."""
        self._waiting = True
        try:
            with self.explained():
                yield
        finally:
            self._waiting = False
        # A connection that was shut looks like one that has ended.
        if ended := self._error():
            raise ended

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Give an error its true reason."""
        try:
            yield
        except _TROUBLE as error:
            down = isinstance(error, requests.ConnectionError) and not isinstance(error, requests.ReadTimeout)
            again = isinstance(error, requests.ConnectionError | requests.Timeout)
            raise self._error() or TransferError(_reason(error), host=down, again=again) from None

    def _error(self) -> TransferError | None:
        if self._stop.is_set():
            return TransferError("interrupted")
        return TransferError(self.reason, host=self.reason.startswith("slower")) if self.reason else None

    def _watch(self) -> None:
        while not self._over.wait(self._tick):
            problem = self._pace.problem(self.count, waiting=self._waiting)
            if problem or self._stop.is_set():
                with self._turn:
                    self.reason = problem or "interrupted"
                    for connection in self._sockets:
                        _shut(connection)
                return


class _Adapter(HTTPAdapter):
    """Lets a guard have each connection as soon as it is there, before TLS and the first header."""

    def __init__(self, guard: _Guard) -> None:
        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return guard.adopt(super()._new_conn())

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return guard.adopt(super()._new_conn())

        plain = type("Pool", (HTTPConnectionPool,), {"ConnectionCls": Plain})
        secure = type("Pool", (HTTPSConnectionPool,), {"ConnectionCls": Secure})
        self._pools = {"http": plain, "https": secure}
        # Tries are counted by us: urllib3 would read a body of any size before the next one, and sleep if told to.
        super().__init__(max_retries=0)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if proxy.lower().startswith("http"):
            manager.pool_classes_by_scheme = self._pools
        return manager


def _ask(session: requests.Session, url: str, guard: _Guard, stop: Flag) -> requests.Response:
    """The answer at the end of all redirects, whose bodies nobody reads."""
    user = get_auth_from_url(url)
    auth = user if any(user) else None
    for _ in range(REDIRECTS + 1):
        answer = _try(session, url, auth, guard, stop)
        target = session.get_redirect_target(answer)
        if target is None:
            return answer
        answer.close()
        before, url = url, urljoin(url, requote_uri(target))
        if session.should_strip_auth(before, url):
            auth = None
    raise TransferError(f"redirects more than {REDIRECTS} times")


def _try(
    session: requests.Session, url: str, auth: tuple[str, str] | None, guard: _Guard, stop: Flag
) -> requests.Response:
    request = session.prepare_request(requests.Request("GET", url, auth=auth))
    settings = session.merge_environment_settings(url, {}, True, None, None)
    broken = False
    for pause in (*_PAUSES, None):
        try:
            with guard.waiting():
                # Not session.send, which reads the bodies of redirects.
                answer = session.get_adapter(url).send(request, timeout=PATIENCE, **settings)
            if pause is None or answer.status_code not in _PASSING:
                break
            answer.close()
        except TransferError as error:
            if broken or not error.again:
                raise
            broken = True
        stop.wait(pause)
    return answer


def _pieces(raw: Any, guard: _Guard) -> Iterator[bytes]:
    while True:
        with guard.waiting():
            # Not decoded: some servers declare a .tar.gz as a compressed transfer of a .tar. Not `stream`: its lines
            # between chunks have no limit.
            piece = raw.read(_PIECE, decode_content=False)
        if not piece:
            return
        guard.count += len(piece)
        yield piece


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _reason(error: BaseException) -> str:
    """One line for people; urllib3 wraps the cause several times."""
    seen: BaseException | None = error
    causes = []
    while seen is not None and seen not in causes:
        causes.append(seen)
        inner = getattr(seen, "reason", None) or next((a for a in seen.args if isinstance(a, BaseException)), None)
        seen = inner if isinstance(inner, BaseException) else seen.__cause__
    for kind, reason in (
        (NameResolutionError, "host name not found"),
        (ssl.SSLCertVerificationError, "its certificate is not trusted"),
        (requests.exceptions.SSLError, "the TLS connection failed"),
        (requests.exceptions.ProxyError, "the proxy does not answer"),
        (requests.ConnectTimeout, "no answer"),
        (NewConnectionError, "connection refused"),
        (requests.ReadTimeout, "stopped answering"),
        (requests.exceptions.InvalidSchema, "its address is not one of the web"),
        (requests.exceptions.InvalidURL, "its address is not valid"),
    ):
        if any(isinstance(cause, kind) for cause in causes):
            return reason
    return "the transfer broke off"
