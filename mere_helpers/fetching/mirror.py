"""Places where a source file may be, in the order in which they are asked, and how its bytes come over.

Nothing here is trusted: what arrives is hashed on its way, and `source` compares the hash with the pin.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from typing import Literal
from urllib.parse import quote

from ..config import Config
from ..errors import SourceError
from ..recipes.recipe import Source
from .address import is_web, local_path, shown
from .debian import DebianMirror
from .patience import USUAL, Limits, TransferError
from .rejected import Copy
from .transfer import open_url, read_path


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


def mirrors_of(config: Config, source: Source) -> list[Mirror]:
    """The places to ask for a file, in order.

    The user's own come first. Debian comes before upstream: it is one archive that answers or does not, whereas a host
    that cannot reach the open internet would wait for a time-out at each upstream. The pin makes the order harmless.
    """
    mirrors = []
    for number, entry in enumerate(config.mirrors, start=1):
        label = f"your mirror {number}"
        if is_web(entry):
            mirrors.append(Mirror(label, "site", entry.rstrip("/")))
        else:
            mirrors.append(Mirror(label, "folder", str(local_path(entry))))
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
        When set, transfers under way end at once.
    limits : Limits, optional
        For each file from each mirror.
    """

    def __init__(self, config: Config, stop: Flag, limits: Limits = USUAL) -> None:
        self._offline = config.offline
        self._debian = DebianMirror(config, stop=stop, limits=limits)
        self._limits = limits
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
            raise NoCopyError(f"no such folder: {shown(str(folder))}")
        for path in (folder / place for place in _places(source)):
            try:
                return self._write(read_path(path, self._limits.size), None, target, watch)
            except (FileNotFoundError, NotADirectoryError):
                continue  # a folder may hold files that are named by their sha256
            except (PermissionError, IsADirectoryError) as error:
                raise NoCopyError(f"cannot be read: {error.strerror}") from error
            except TransferError as error:
                raise NoCopyError(str(error)) from None
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
        host = url.split("/")[2]
        if host in self._silent:
            raise NoCopyError(self._silent[host])
        try:
            with open_url(url, self._limits, self._stop) as answer:
                return self._write(answer.pieces, answer.announced, target, watch)
        except TransferError as error:
            if error.host:
                # The next file of this host need not wait for the same.
                self._silent[host] = str(error)
            raise NoCopyError(str(error)) from None

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
