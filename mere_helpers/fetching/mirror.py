"""Places where a source file may be, in the order in which they are asked, and how its bytes come over.

Nothing here is trusted: what arrives is hashed on its way, and `source` compares the hash with the pin.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError
from urllib3.util import Retry

from ..config import Config
from ..errors import SourceError
from ..recipes.recipe import Source
from .debian import DebianMirror

#: Seconds to wait for a connection, and for the next bytes on it.
PATIENCE = (10, 30)

_CHUNK = 1 << 20

_UNPACKERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".tgz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}


class NoCopyError(Exception):
    """A mirror had no usable copy; the message is the reason, as one short line."""


@dataclass(frozen=True)
class Mirror:
    """One place to ask.

    Attributes
    ----------
    label : str
        Its name in messages; the same on every machine.
    kind : str
        ``folder`` and ``site`` hold many files, by file name, as ``SHA256/NAME``, or as Debian's archive does; ``page``
        is the address of this very file; ``debian`` is a source package.
    address : str
        A path, a URL, or ``NAME=VERSION``.
    """

    label: str
    kind: Literal["folder", "site", "page", "debian"]
    address: str


@dataclass(frozen=True)
class Copy:
    """What arrived: its sha256, its size, and the size that the mirror announced, in bytes."""

    sha256: str
    size: int
    announced: int | None


def mirrors_of(config: Config, source: Source) -> list[Mirror]:
    """The places to ask for a file, in order.

    The user's own come first. Debian comes before upstream: it is one archive that answers or does not, whereas a host
    that cannot reach the open internet would wait for a time-out at each upstream. The pin makes the order harmless.
    """
    mirrors = []
    for number, entry in enumerate(config.mirrors, start=1):
        parts = urlsplit(entry)
        label = f"your mirror {number}"
        if parts.scheme in ("http", "https"):
            mirrors.append(Mirror(label, "site", entry.rstrip("/")))
        else:
            path = unquote(parts.path) if parts.scheme == "file" else entry
            mirrors.append(Mirror(label, "folder", str(Path(path).expanduser())))
    # A recipe may name several packages for its several files; the likely one is asked first.
    named = sorted(
        (package.partition("=") for package in source.debian), key=lambda n: not source.name.startswith(n[0])
    )
    mirrors += [Mirror(f"debian {name}", "debian", f"{name}={version}") for name, _, version in named]
    if source.url:
        mirrors.append(Mirror("upstream", "page", source.url))
    return mirrors


def _places(source: Source) -> list[str]:
    """Where a file may be in a folder or on a site, as paths with slashes; the surest first."""
    packages = [package.partition("=")[0] for package in source.debian]
    # Debian's archive sorts by the first letter, and libraries by the one behind "lib", too.
    letters = {package: package[:4] if package.startswith("lib") else package[:1] for package in packages}
    pool = [f"pool/main/{letters[package]}/{package}/{source.name}" for package in packages]
    return [f"{source.sha256}/{source.name}", source.name, *pool]


class Carrier:
    """Carries files from mirrors, for several threads at once.

    Parameters
    ----------
    config : Config
        `offline` leaves only folders.
    stop : threading.Event
        When set, transfers under way end early.
    """

    def __init__(self, config: Config, stop: Flag) -> None:
        self._offline = config.offline
        self._debian = DebianMirror(config, stop=stop)
        self._stop = stop
        self._silent: dict[str, str] = {}

    def bring(self, mirror: Mirror, source: Source, target: Path, watch: Callable[[int, int | None], None]) -> Copy:
        """Write a mirror's copy to `target`, whatever it holds.

        Parameters
        ----------
        watch : callable
            Called now and then with the bytes so far and the bytes announced.

        Raises
        ------
        NoCopyError
            There is none, or the transfer broke off; `target` then holds what came.
        """
        if self._stop.is_set():
            raise NoCopyError("interrupted")
        if mirror.kind == "folder":
            return self._from_folder(Path(mirror.address), source, target, watch)
        if self._offline:
            raise NoCopyError("not asked: offline")
        if mirror.kind == "debian":
            return self._from_debian(mirror.address, source, target, watch)
        if mirror.kind == "page":
            return self._from_web(mirror.address, target, watch)
        *others, last = (f"{mirror.address}/{quote(place)}" for place in _places(source))
        for url in others:
            try:
                return self._from_web(url, target, watch)
            except NoCopyError:
                if target.exists() and target.stat().st_size:
                    raise
        return self._from_web(last, target, watch)

    def _from_folder(
        self, folder: Path, source: Source, target: Path, watch: Callable[[int, int | None], None]
    ) -> Copy:
        if not folder.is_dir():
            raise NoCopyError(f"no such folder: {folder}")
        for path in (folder / place for place in _places(source)):
            try:
                with path.open("rb") as file:
                    return self._write(iter(lambda: file.read(_CHUNK), b""), None, target, watch)
            except (FileNotFoundError, NotADirectoryError):
                continue  # a folder may hold files that are named by their sha256
            except (PermissionError, IsADirectoryError) as error:
                raise NoCopyError(f"cannot be read: {error.strerror}") from error
        raise NoCopyError("not there")

    def _from_debian(
        self, package: str, source: Source, target: Path, watch: Callable[[int, int | None], None]
    ) -> Copy:
        try:
            watch(0, None)  # the index may take a while
            file = self._debian.lookup(package, source.sha256)
            watch(0, file.size)
            self._debian.download(file, target, watch)
        except SourceError as error:
            raise NoCopyError(error.message) from error
        with target.open("rb") as stream:
            return Copy(hashlib.file_digest(stream, "sha256").hexdigest(), target.stat().st_size, file.size)

    def _from_web(self, url: str, target: Path, watch: Callable[[int, int | None], None]) -> Copy:
        copy = self._get(url, target, watch)
        if copy.announced is not None and copy.size < copy.announced:
            copy = self._get(url, target, watch)  # lines do break; a second break is the mirror's fault
        return copy

    def _get(self, url: str, target: Path, watch: Callable[[int, int | None], None]) -> Copy:
        host = urlsplit(url).netloc
        if host in self._silent:
            raise NoCopyError(self._silent[host])
        try:
            with _session() as session, session.get(url, stream=True, timeout=PATIENCE) as answer:
                if answer.status_code != 200:
                    raise NoCopyError(f"{answer.status_code} {answer.reason}".strip())
                length = answer.headers.get("Content-Length", "")
                # A short body is an answer like any other: it is set aside and reported with its size.
                answer.raw.enforce_content_length = False
                # Not decoded: some servers declare a .tar.gz as a compressed transfer of a .tar.
                chunks = answer.raw.stream(_CHUNK, decode_content=False)
                return self._write(chunks, int(length) if length.isdigit() else None, target, watch)
        except (requests.RequestException, HTTPError) as error:
            reason = _reason(error)
            if isinstance(error, requests.ConnectionError) and not isinstance(error, requests.ReadTimeout):
                # The next file of this host need not wait for the same.
                self._silent[host] = reason
            raise NoCopyError(reason) from error

    def _write(
        self, chunks: Iterable[bytes], announced: int | None, target: Path, watch: Callable[[int, int | None], None]
    ) -> Copy:
        digest, size = hashlib.sha256(), 0
        with target.open("wb") as out:
            for chunk in chunks:
                if self._stop.is_set():
                    raise NoCopyError("interrupted")
                digest.update(chunk)
                out.write(chunk)
                size += len(chunk)
                watch(size, announced)
        return Copy(digest.hexdigest(), size, announced)


def complaint(path: Path, copy: Copy) -> str:
    """What a file that is not the pinned one looks like, as the start of a sentence; empty when it looks well."""
    with path.open("rb") as file:
        start = file.read(1024).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "looks like an HTML page: "
    if copy.announced is not None and copy.size < copy.announced:
        return f"truncated, {copy.size:,} of {copy.announced:,} bytes: "
    if path.stat().st_size == 0:
        return "is empty: "
    unpack = _UNPACKERS.get(path.suffix)
    try:
        if unpack is not None:
            with unpack(path) as stream:
                while stream.read(_CHUNK):
                    pass
    except EOFError:
        return f"truncated, {copy.size:,} bytes: "
    except (OSError, ValueError, lzma.LZMAError, zlib.error):
        return "damaged: "
    return ""


def _session() -> requests.Session:
    session = requests.Session()
    retry = Retry(total=3, connect=1, read=1, backoff_factor=0.3, status_forcelist=(429, 500, 502, 503, 504),
                  raise_on_status=False)  # fmt: skip
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    session.headers["Accept-Encoding"] = "identity"
    return session


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
        (requests.exceptions.SSLError, "its certificate is not trusted"),
        (requests.exceptions.ProxyError, "the proxy does not answer"),
        (requests.ConnectTimeout, "no answer"),
        (NewConnectionError, "connection refused"),
        (requests.ReadTimeout, "stopped answering"),
    ):
        if any(isinstance(cause, kind) for cause in causes):
            return reason
    return "the transfer broke off"
