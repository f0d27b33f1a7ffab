"""One file from the web, or from a path: whatever the other side does, it ends within limits and can be stopped.

The limits hold from the first connection on: for headers that drip, for redirects and for the body.
"""

from __future__ import annotations

import base64
import http.client
import os
import re
import socket
import ssl
import stat
import string
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event as Flag
from typing import Any
from urllib.error import URLError
from urllib.parse import quote, unquote, urljoin, urlsplit
from urllib.request import AbstractHTTPHandler, OpenerDirector, ProxyHandler, Request

from .address import is_web
from .pace import Guard, Limits, TransferError

#: Times that a server may send us elsewhere.
REDIRECTS = 10

#: Statuses that may be another one at the next try, and the seconds before each try.
_PASSING = (429, 500, 502, 503, 504)
_PAUSES = (0.3, 0.6, 1.2)

# At the least rate a piece must fill up well within the time over which the rate is measured.
_PIECE = 1 << 14

# ValueError and OverflowError: a host, a port or a header that cannot be decoded.
_TROUBLE = (OSError, http.client.HTTPException, ValueError, OverflowError)


@dataclass(frozen=True)
class Answer:
    """What a server sends: the bytes it has announced, if it has, and the pieces, which raise TransferError."""

    announced: int | None
    pieces: Iterator[bytes]


@contextmanager
def open_url(url: str, limits: Limits, stop: Flag, proxies: dict[str, str] | None = None) -> Iterator[Answer]:
    """Ask for a file; its bytes come as they are sent, never decoded.

    User info in the address is sent to its host only. The limits are for everything together, redirects included; when
    `stop` is set, the transfer ends at once. `proxies` are by scheme, and by default those of the environment. A
    TransferError says that there is no such file, or that the server did not answer properly or in time.
    """
    with Guard(limits, stop) as guard:
        opener = OpenerDirector()
        opener.add_handler(ProxyHandler(proxies))
        opener.add_handler(_Handler(guard))
        with _explained(guard, "its address is not valid"):
            answer = _ask(opener, url, guard, stop)
        with answer:
            if answer.status != 200:
                raise TransferError(printable(f"{answer.status} {answer.reason}"), missing=True)
            length = answer.headers.get("Content-Length", "")
            announced = int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
            if announced is not None and announced > limits.size:
                raise TransferError(f"announces {announced:,} bytes, more than the limit of {limits.size:,} bytes")
            yield Answer(announced, _at_most(limits.size, _pieces(answer, guard, announced)))


def read_path(path: Path, limit: int) -> Iterator[bytes]:
    """The pieces of a regular file: a pipe, which could be waited for for ever, is an OSError.

    A file of more than `limit` bytes is a TransferError.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise PermissionError(0, "not a regular file", str(path))
        yield from _at_most(limit, iter(lambda: file.read(1 << 20), b""))


def printable(text: str, length: int = 80) -> str:
    """A server's words as one short line without control characters, which could act on a terminal."""
    return "".join(letter for letter in text[:length] if letter.isprintable()).strip()


class _Handler(AbstractHTTPHandler):
    """Lets a guard open the connections. No other handler is there to read the bodies of redirects and errors."""

    http_request = https_request = AbstractHTTPHandler.do_request_

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    def http_open(self, request: Request) -> Any:
        return self.do_open(partial(self._watched, http.client.HTTPConnection), request)

    def https_open(self, request: Request) -> Any:
        return self.do_open(partial(self._watched, http.client.HTTPSConnection), request)

    def _watched(self, make: Any, host: str, **options: Any) -> Any:
        connection = make(host, **options)
        connection._create_connection = self._guard.connect
        return connection


@contextmanager
def _explained(guard: Guard, otherwise: str) -> Iterator[None]:
    """Wait for the server, which is what the limits are for, and give an error its true reason."""
    guard.waiting = True
    try:
        yield
    except _TROUBLE as error:
        raise TransferError(guard.reason or _reason(error) or otherwise) from None
    finally:
        guard.waiting = False
    # A connection that was shut looks like one that has ended.
    if guard.reason:
        raise TransferError(guard.reason)


def _ask(opener: OpenerDirector, url: str, guard: Guard, stop: Flag) -> Any:
    """The answer at the end of all redirects, whose bodies nobody reads."""
    parts = urlsplit(quote(url, safe=string.punctuation))
    user, _, host = parts.netloc.rpartition("@")
    parts = parts._replace(netloc=host)
    for _ in range(REDIRECTS + 1):
        if not is_web(parts.geturl()) or parts.port == 0:
            raise TransferError("its address is not one of the web")
        request = Request(parts.geturl(), headers={"Accept-Encoding": "identity", "User-Agent": "mere_helpers"})
        if user:
            words = unquote(user if ":" in user else f"{user}:").encode()
            request.add_header("Authorization", f"Basic {base64.b64encode(words).decode()}")
        answer = _try(opener, request, guard, stop)
        target = answer.headers.get("Location")
        if answer.status not in (301, 302, 303, 307, 308) or target is None:
            return answer
        answer.close()
        before = parts
        parts = urlsplit(urljoin(before.geturl(), quote(target, safe=string.punctuation, encoding="latin-1")))
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        if parts.netloc != before.netloc or parts.scheme not in (before.scheme, "https"):
            user = ""
    raise TransferError(f"redirects more than {REDIRECTS} times")


def _try(opener: OpenerDirector, request: Request, guard: Guard, stop: Flag) -> Any:
    broken = False
    for pause in (*_PAUSES, None):
        try:
            answer = opener.open(request, timeout=None)
            if pause is None or answer.status not in _PASSING:
                return answer
            answer.close()
        except (OSError, http.client.HTTPException):
            if broken or pause is None or guard.reason:
                raise
            broken = True
        stop.wait(pause)


def _pieces(answer: Any, guard: Guard, announced: int | None) -> Iterator[bytes]:
    piece = b"first"
    while piece:
        with _explained(guard, "the transfer broke off"):
            piece = answer.read(_PIECE)
        guard.count += len(piece)
        yield piece
    if announced is not None and guard.count < announced:
        raise TransferError(f"truncated, {guard.count:,} of {announced:,} bytes", truncated=True)


def _at_most(limit: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces; the one that would be too much is not handed on."""
    count = 0
    for piece in pieces:
        count += len(piece)
        if count > limit:
            raise TransferError(f"more than the limit of {limit:,} bytes")
        yield piece


def _reason(error: Exception) -> str:
    """One line for people. Not the error's own words: these may have a password in them, or a server's."""
    cause = error.reason if isinstance(error, URLError) else error
    for kind, reason in (
        (socket.gaierror, "host name not found"),
        (ssl.SSLCertVerificationError, "its certificate is not trusted"),
        (ssl.SSLError, "the TLS connection failed"),
        (TimeoutError, "no answer"),
        (ConnectionRefusedError, "connection refused"),
        (http.client.InvalidURL, "its address is not valid"),
        ((ConnectionError, http.client.HTTPException), "the transfer broke off"),
    ):
        if isinstance(cause, kind):
            return reason
    # For instance: network is unreachable. A proxy that refuses says so in an error without a number.
    return (cause.strerror or "the proxy refused").lower() if isinstance(cause, OSError) else ""
