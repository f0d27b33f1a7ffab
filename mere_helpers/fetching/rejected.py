"""What a file that is not the pinned one looks like, and the one copy of it that is kept for a look."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag

#: Bytes of the largest bad copy that is kept.
LARGEST_KEPT = 256 << 20

#: How many times its own size a file is unpacked to see whether it is whole; source archives unpack to less.
_TIMES = 20

#: Bytes of memory that unpacking may take; `xz -9` asks for 65 MiB.
_MEMORY = 256 << 20

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Copy:
    """What arrived: its sha256, its size, and the size that the mirror announced, in bytes."""

    sha256: str
    size: int
    announced: int | None


def complaint(path: Path, copy: Copy, stop: Flag) -> str:
    """What a bad file looks like, as the start of a sentence; empty when it looks well, or when `stop` is set."""
    with path.open("rb") as file:
        start = file.read(1024).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "looks like an HTML page: "
    if copy.announced is not None and copy.size < copy.announced:
        return f"truncated, {copy.size:,} of {copy.announced:,} bytes: "
    if copy.size == 0:
        return "is empty: "
    unpack = _UNPACKERS.get(path.suffix)
    left = _TIMES * copy.size + _CHUNK
    try:
        for count in unpack(path) if unpack else ():
            left -= count
            if left < 0 or stop.is_set():
                break
    except EOFError:
        return f"truncated, {copy.size:,} bytes: "
    except (OSError, ValueError, lzma.LZMAError, zlib.error):
        return "damaged: "
    return ""


def keep(rejected: Path, name: str, path: Path, copy: Copy) -> str:
    """Set a bad copy aside in place of the one before it, unless it is very large.

    Parameters
    ----------
    rejected : Path
        The folder for it.
    name : str
        The source file.
    path : Path
        The bad copy; afterwards it is not there any more.

    Returns
    -------
    str
        The name it has in that folder, or an empty string.
    """
    for other in rejected.glob("*"):
        if re.fullmatch(re.escape(name) + r"\.[0-9a-f]{8}", other.name):
            other.unlink(missing_ok=True)
    if copy.size > LARGEST_KEPT:
        path.unlink()
        return ""
    rejected.mkdir(parents=True, exist_ok=True)
    kept = f"{name}.{copy.sha256[:8]}"
    shutil.move(path, rejected / kept)
    return kept


def _gzip(path: Path) -> Iterator[int]:
    with gzip.open(path) as stream:
        while data := stream.read(_CHUNK):
            yield len(data)


def _bzip2(path: Path) -> Iterator[int]:
    with bz2.open(path) as stream:
        while data := stream.read(_CHUNK):
            yield len(data)


def _xz(path: Path) -> Iterator[int]:
    # Not lzma.open: a header of a few bytes may ask for 4 GiB of memory, and it has no limit for that.
    unpacker = lzma.LZMADecompressor(memlimit=_MEMORY)
    with path.open("rb") as file:
        while not unpacker.eof:
            data = file.read(_CHUNK) if unpacker.needs_input else b""
            if unpacker.needs_input and not data:
                raise EOFError
            yield len(unpacker.decompress(data, _CHUNK))


_UNPACKERS: dict[str, Callable[[Path], Iterator[int]]] = {".gz": _gzip, ".tgz": _gzip, ".xz": _xz, ".bz2": _bzip2}
