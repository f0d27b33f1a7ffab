"""Places where a source file may be, in the order in which they are asked, and how its bytes come over.

Nothing here is trusted: what arrives is hashed on its way, and `cache` compares the hash with the pin.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Event as Flag
from typing import NamedTuple
from urllib.parse import quote

from ..config import Config
from ..planning.recipe import Source
from .address import is_web, local_path, shown
from .debian import Debian, pool_paths
from .download import open_url, read_path
from .pace import Limits, TransferError

#: Called now and then with the bytes so far and the bytes announced.
Watch = Callable[[int, int | None], None]


class Mirror(NamedTuple):
    """One place to ask: a path, a URL, or a source package of Debian, ``NAME=VERSION``.

    Its `label` is for messages, and the same on every machine. It may have the file under the paths or URLs of `files`,
    in order. `proxies` take the place of those of the environment; `problem` says why it cannot be asked.
    """

    label: str
    address: str
    files: tuple[str, ...]
    proxies: dict[str, str] | None = None
    problem: str = ""


def mirrors_of(config: Config, source: Source, debian: Callable[[], Debian]) -> list[Mirror]:
    """The places to ask for a file, in order.

    The user's own come first. Debian comes before upstream: it is one archive that answers or does not, whereas a host
    that cannot reach the open internet would wait for a time-out at each upstream. The pin makes the order harmless.
    """
    # A recipe may name several packages for its several files; the likely one is asked first.
    packages = sorted(source.debian, key=lambda package: not source.name.startswith(package.partition("=")[0]))
    in_pool = {package: pool_paths(source, package) for package in packages}
    places = [f"{source.sha256}/{source.name}", source.name]
    places += [f"pool/main/{path}" for paths in in_pool.values() for path in paths]
    mirrors = []
    for number, entry in enumerate(config.mirrors, start=1):
        base, escape = (entry.rstrip("/"), quote) if is_web(entry) else (str(local_path(entry)), str)
        mirrors.append(Mirror(f"your mirror {number}", base, tuple(f"{base}/{escape(place)}" for place in places)))
    for package, paths in in_pool.items():
        known = Debian(problem="not asked: offline") if config.offline else debian()
        files = tuple(f"{pool}/{quote(path)}" for path in paths for pool in known.pools)
        label = f"debian {package.partition('=')[0]}"
        mirrors.append(Mirror(label, package, files, known.proxies, known.problem))
    if source.url:
        mirrors.append(Mirror("upstream", source.url, (source.url,)))
    return mirrors


def bring(mirror: Mirror, target: Path, watch: Watch, limits: Limits, stop: Flag, *, offline: bool) -> str:
    """Write a mirror's copy to `target`, whatever it holds; return its sha256.

    A TransferError says that there is none, or that the transfer broke off; `target` then holds what came.
    """
    problem = TransferError(mirror.problem)
    waiting = list(mirror.files)
    broken = False
    while waiting:
        place = waiting.pop(0)
        try:
            if not is_web(place):
                return _write(_read(mirror, Path(place), limits), None, target, watch, stop)
            if offline:
                raise TransferError("not asked: offline")
            with open_url(place, limits, stop, mirror.proxies) as answer:
                return _write(answer.pieces, answer.announced, target, watch, stop)
        except TransferError as error:
            problem = error
            if error.truncated and not broken:
                # Lines do break; a second break is the mirror's fault.
                waiting.insert(0, place)
                broken = True
            elif not error.missing:
                break
    raise problem


def _read(mirror: Mirror, path: Path, limits: Limits) -> Iterator[bytes]:
    try:
        yield from read_path(path, limits.size)
    except (FileNotFoundError, NotADirectoryError):
        if not Path(mirror.address).is_dir():
            raise TransferError(f"no such folder: {shown(mirror.address)}") from None
        # A folder may hold files that are named by their sha256.
        raise TransferError("not there", missing=True) from None
    except (PermissionError, IsADirectoryError) as error:
        raise TransferError(f"cannot be read: {error.strerror}") from None


def _write(pieces: Iterable[bytes], announced: int | None, target: Path, watch: Watch, stop: Flag) -> str:
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as out:
        for piece in pieces:
            if stop.is_set():
                raise TransferError("interrupted")
            digest.update(piece)
            out.write(piece)
            size += len(piece)
            watch(size, announced)
    return digest.hexdigest()
