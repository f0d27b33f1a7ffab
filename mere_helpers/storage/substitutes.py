"""Finished builds of someone else, taken in place of building: signed as a whole, and each verified by its hash."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from threading import Event as Flag
from typing import IO, Any

from ..config import Config
from ..errors import StoreError
from ..fetching.address import is_web, local_path, shown
from ..fetching.patience import USUAL, Limits, TransferError
from ..fetching.transfer import open_url, read_path
from .signed_index import INDEX, LARGEST, OLD, Index, Offer, SignatureError, accept, read_index
from .tree import disk_trouble

_UNSET = "unset MERE_SUBSTITUTES   # and everything is built instead"

#: What is packed of an entry; the first is a folder.
_PARTS = ("out", "log", "meta.json")

#: How deep folders may be nested; what walks through them is recursive.
_DEEPEST = 200

#: Bytes that the description of an entry may have.
_LARGEST_META = 64 << 20

_KEYS = {"id", "key", "measures", "output_digest", "outputs", "links", "folders"}


class Substitutes:
    """A folder or a site with packed entries of a store, and an index of them that is signed.

    Parameters
    ----------
    config : Config
        Its `substitutes` says where they are, its `substitutes_key` whose signature is good.
    stop : threading.Event, optional
        When set, transfers under way end at once.
    limits : Limits, optional
        For each file; the sizes in the index lower them.
    """

    def __init__(self, config: Config, stop: Flag | None = None, limits: Limits = USUAL) -> None:
        assert config.substitutes is not None
        self._config = config
        self._place = config.substitutes
        self._stop = stop or Flag()
        self._limits = limits

    def unpack(self, key: str, folder: Path) -> bool:
        """Unpack the entry with this key into a folder; False if there is none.

        Raises
        ------
        StoreError
            The signature is not good, the index is older than one that was seen, or what came is not what the index
            says.
        """
        offer = self._index.offers.get(key)
        if offer is None:
            return False
        archive = folder / "archive"
        digest = hashlib.sha256()
        with disk_trouble(), open(archive, "wb") as target:
            for piece in self._pieces(f"{key}.tar.zst", offer.size):
                digest.update(piece)
                target.write(piece)
        if digest.hexdigest() != offer.sha256:
            raise StoreError(
                f"the substitute for {offer.id} is not the one that was signed: expected sha256 {offer.sha256}, "
                f"found {digest.hexdigest()}",
                hint=_UNSET,
            )
        try:
            with disk_trouble():
                _extract(archive, folder, offer)
                archive.unlink()
                _check_meta(folder / "meta.json", offer.id)
        except (OSError, ValueError, EOFError, RecursionError, tarfile.TarError) as error:
            raise StoreError(f"the substitute for {offer.id} cannot be unpacked: {error}", hint=_UNSET) from None
        return True

    def output_digest(self, key: str) -> str | None:
        """What the entry with this key would have as its `output_digest`; None if there is none. Raises as `unpack`."""
        offer = self._index.offers.get(key)
        return offer.output_digest if offer else None

    @cached_property
    def _index(self) -> Index:
        data = b"".join(self._pieces(INDEX, LARGEST))
        try:
            index = read_index(data, self._config.substitutes_key)
        except SignatureError:
            raise StoreError(
                f"the index of {shown(self._place)} is not signed with the key in MERE_SUBSTITUTES_KEY", hint=_UNSET
            ) from None
        accept(self._config, index, shown(self._place), self._stop)
        if (age := time.time() - index.date) > OLD:
            warnings.warn(f"the index of {shown(self._place)} is {age / 86400:.0f} days old", stacklevel=2)
        return index

    def _pieces(self, name: str, limit: int) -> Iterator[bytes]:
        """The contents of a file of at most so many bytes, piece by piece."""
        if is_web(self._place):
            if self._config.offline:
                raise StoreError(f"{shown(self._place)} is on the network, and MERE_OFFLINE is set", hint=_UNSET)
            return self._download(f"{self._place.rstrip('/')}/{name}", limit)
        return self._read(name, limit)

    def _read(self, name: str, limit: int) -> Iterator[bytes]:
        try:
            yield from read_path(local_path(self._place) / name, limit)
        except (OSError, TransferError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise StoreError(f"cannot read {name} of {shown(self._place)}: {reason}", hint=_UNSET) from None

    def _download(self, url: str, limit: int) -> Iterator[bytes]:
        limits = replace(self._limits, size=min(limit, self._limits.size))
        count = 0
        try:
            with open_url(url, limits, self._stop) as answer:
                for piece in answer.pieces:
                    count += len(piece)
                    yield piece
                if answer.announced is not None and count < answer.announced:
                    raise TransferError(f"truncated, {count:,} of {answer.announced:,} bytes")
        except TransferError as error:
            raise StoreError(f"cannot get {shown(url)}: {error}", hint=f"run again; or {_UNSET}") from None


class _Bounded:
    """A stream that has no more than so many bytes."""

    def __init__(self, stream: IO[bytes], offer: Offer) -> None:
        self._stream = stream
        self._offer = offer
        self._left = offer.unpacked

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise _too_large(self._offer)
        return data


def _extract(archive: Path, folder: Path, offer: Offer) -> None:
    # Debian 12 has Python 3.11.2, and there are filters since 3.11.4; `_inside` does without.
    options: dict[str, Any] = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}
    command = ["zstd", "-dcq", str(archive)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        stream: Any = _Bounded(process.stdout, offer)
        with tarfile.open(fileobj=stream, mode="r|") as members:
            members.extractall(folder, _inside(members, folder, offer), **options)


def _inside(members: Iterable[tarfile.TarInfo], folder: Path, offer: Offer) -> Iterator[tarfile.TarInfo]:
    """The members, as long as none of them would be outside of the folder, by its name or through a link."""
    top = os.path.realpath(folder)
    left = offer.unpacked
    for member in members:
        # A second name of a file would let others change the file; where a symbolic link leads is its own affair.
        for name in (member.name, member.linkname) if member.islnk() else (member.name,):
            # Asked when all members before it are in place, so that their links are followed.
            if os.path.commonpath([top, os.path.realpath(os.path.join(top, name))]) != top:
                raise StoreError(f"the substitute for {offer.id} has a file outside of its folder: {name}", hint=_UNSET)
        _check_member(member, offer)
        # A file with holes is larger than what the archive has of it.
        left -= member.size if member.isreg() else 0
        if left < 0:
            raise _too_large(offer)
        member.mode &= 0o755
        yield member


def _check_member(member: tarfile.TarInfo, offer: Offer) -> None:
    """Whether a member is one that `export` packs: a folder of outputs, and two files beside it."""
    first, _, rest = member.name.partition("/")
    known = first in _PARTS and os.path.normpath(member.name) == member.name and member.name.count("/") <= _DEEPEST
    if rest:
        good = known and first == "out" and (member.isreg() or member.isdir() or member.issym() or member.islnk())
    else:
        good = known and (member.isdir() if first == "out" else member.isreg())
    if not good:
        raise StoreError(f"the substitute for {offer.id} has a file that no build has: {member.name}", hint=_UNSET)


def _check_meta(path: Path, id: str) -> None:
    meta = json.loads(b"".join(read_path(path, _LARGEST_META)))
    if not isinstance(meta, dict) or not meta.keys() >= _KEYS:
        raise StoreError(f"the substitute for {id} is not what it says", hint=_UNSET)


def _too_large(offer: Offer) -> StoreError:
    return StoreError(
        f"the substitute for {offer.id} unpacks to more than the {offer.unpacked:,} bytes that were signed", hint=_UNSET
    )
