"""Finished builds of someone else, taken in place of building: signed as a whole, and each verified by its hash."""

from __future__ import annotations

import base64
import json
import math
import os
import subprocess
import tarfile
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING

from ..config import Config
from ..errors import StoreError
from ..fetching.address import is_web, local_path, shown
from ..fetching.download import open_url, read_path
from ..fetching.pace import USUAL, Limits, TransferError
from ..files import DEEPEST, FULL, disk_trouble, sha256, write_atomically, written_aside
from .entry import Entry
from .signed_index import INDEX, LARGEST, Index, Offer, SignatureError, accept, next_serial, read_index, write_index

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: Seconds after which an index is called old.
OLD = 90 * 24 * 3600

_UNSET = "unset MERE_SUBSTITUTES   # and everything is built instead"

#: What is packed of an entry; the first is a folder.
_PARTS = ("out", "log", "meta.json")

#: Bytes that the description of an entry may have.
_LARGEST_META = 64 << 20

_KEYS = {"id", "key", "measures", "output_digest", "outputs", "links", "folders"}


class Substitutes:
    """A folder or a site with packed entries of a store, and an index of them that is signed with a key.

    Both are named in the settings. When `stop` is set, transfers under way end at once; `limits` are for each file, and
    lowered by the sizes in the index.
    """

    def __init__(self, config: Config, stop: Flag | None = None, limits: Limits = USUAL) -> None:
        assert config.substitutes is not None
        self._config = config
        self._place = config.substitutes
        self._shown = shown(config.substitutes)
        self._stop = stop or Flag()
        self._limits = limits

    def unpack(self, key: str, folder: Path) -> bool:
        """Unpack the entry with this key into a folder; False if there is none.

        StoreError: the signature is not good, the index is older than one that was seen, or what came is not what it
        says.
        """
        offer = self._index.offers.get(key)
        if offer is None:
            return False
        archive = folder / "archive"
        with disk_trouble(), open(archive, "wb") as target:
            for piece in self._pieces(f"{key}.tar.zst", offer.size):
                target.write(piece)
        if (found := sha256(archive)) != offer.sha256:
            problem = f"is not the one that was signed: expected sha256 {offer.sha256}, found {found}"
            raise _bad(offer, problem)
        try:
            with disk_trouble():
                _extract(archive, folder, offer)
                archive.unlink()
                meta = json.loads(b"".join(read_path(folder / "meta.json", _LARGEST_META)))
        except (OSError, ValueError, EOFError, RecursionError, TransferError, tarfile.TarError) as error:
            raise _bad(offer, f"cannot be unpacked: {error}") from None
        if not isinstance(meta, dict) or not meta.keys() >= _KEYS:
            raise _bad(offer, "is not what it says")
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
            message = f"the index of {self._shown} is not signed with the key in MERE_SUBSTITUTES_KEY"
            raise StoreError(message, hint=_UNSET) from None
        accept(self._config, index, self._shown, self._stop)
        if (age := time.time() - index.date) > OLD:
            warnings.warn(f"the index of {self._shown} is {age / 86400:.0f} days old", stacklevel=2)
        return index

    def _pieces(self, name: str, limit: int) -> Iterator[bytes]:
        """The contents of a file of at most so many bytes, piece by piece."""
        if not is_web(self._place):
            try:
                yield from read_path(local_path(self._place) / name, limit)
            except (OSError, TransferError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                raise StoreError(f"cannot read {name} of {self._shown}: {reason}", hint=_UNSET) from None
            return
        if self._config.offline:
            raise StoreError(f"{self._shown} is on the network, and MERE_OFFLINE is set", hint=_UNSET)
        url = f"{self._place.rstrip('/')}/{name}"
        count = 0
        try:
            with open_url(url, replace(self._limits, size=min(limit, self._limits.size)), self._stop) as answer:
                for piece in answer.pieces:
                    count += len(piece)
                    yield piece
                if answer.announced is not None and count < answer.announced:
                    raise TransferError(f"truncated, {count:,} of {answer.announced:,} bytes")
        except TransferError as error:
            raise StoreError(f"cannot get {shown(url)}: {error}", hint=f"run again; or {_UNSET}") from None


def _extract(archive: Path, folder: Path, offer: Offer) -> None:
    if (_unpacked_size(archive, offer.unpacked) or 0) > offer.unpacked:
        raise _too_large(offer)
    process = subprocess.Popen(["zstd", "-dcq", str(archive)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with process, tarfile.open(fileobj=process.stdout, mode="r|") as members:
        # Debian 12 has Python 3.11.2, and there are filters since 3.11.4; `_inside` does without.
        members.extraction_filter = getattr(tarfile, "tar_filter", None)
        members.extractall(folder, _inside(members, folder, offer))


def _inside(members: Iterable[tarfile.TarInfo], folder: Path, offer: Offer) -> Iterator[tarfile.TarInfo]:
    """The members, as long as none of them would be outside of the folder, by its name or through a link."""
    top = os.path.realpath(folder)
    left = offer.unpacked
    for member in members:
        # A second name of a file would let others change the file; where a symbolic link leads is its own affair.
        for name in (member.name, member.linkname) if member.islnk() else (member.name,):
            # Asked when all members before it are in place, so that their links are followed.
            if os.path.commonpath([top, os.path.realpath(os.path.join(top, name))]) != top:
                raise _bad(offer, f"has a file outside of its folder: {name}")
        # `export` packs a folder of outputs, and two files beside it.
        first, _, rest = member.name.partition("/")
        if first == "out":
            good = member.isdir() or (rest and (member.isreg() or member.issym() or member.islnk()))
        else:
            good = first in _PARTS and not rest and member.isreg()
        # What walks through directories is recursive.
        if not good or os.path.normpath(member.name) != member.name or member.name.count("/") > DEEPEST:
            raise _bad(offer, f"has a file that no build has: {member.name}")
        # A file with holes is larger than what the archive has of it.
        left -= member.size if member.isreg() else 0
        if left < 0:
            raise _too_large(offer)
        member.mode &= 0o755
        yield member


def _bad(offer: Offer, problem: str) -> StoreError:
    return StoreError(f"the substitute for {offer.id} {problem}", hint=_UNSET)


def _too_large(offer: Offer) -> StoreError:
    return _bad(offer, f"unpacks to more than the {offer.unpacked:,} bytes that were signed")


def export(config: Config, entries: Iterable[Entry], folder: Path) -> str:
    """Pack entries of the store into a folder for others; what is packed there is kept.

    The key that signs is in the store, and is made at the first time. Returned is its public part, for
    ``MERE_SUBSTITUTES_KEY``. StoreError: the folder cannot be written.
    """
    private = _private_key(config)
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    with disk_trouble():
        folder.mkdir(parents=True, exist_ok=True)
        offers = {entry.key: _offer(entry, folder) for entry in sorted(entries, key=lambda entry: entry.key)}
        last = 0
        with suppress(OSError, TransferError, SignatureError):
            last = read_index(b"".join(read_path(folder / INDEX, LARGEST)), public).serial
        with next_serial(config, public, last) as serial:
            data = write_index(Index(serial, int(time.time()), offers), private)
            if len(data) > LARGEST:
                message = f"the index has {len(data):,} bytes, more than anybody accepts ({LARGEST:,})"
                raise StoreError(message, hint="export fewer builds")
            write_atomically(folder / INDEX, data)
    return public


def _offer(entry: Entry, folder: Path) -> Offer:
    archive = folder / f"{entry.key}.tar.zst"
    unpacked = _unpacked_size(archive)
    if unpacked is None:
        _pack(entry, archive)
        unpacked = _unpacked_size(archive)
        if unpacked is None:
            raise StoreError(f"{archive} cannot be read back", hint="look at dmesg for errors of the disk")
    return Offer(entry.id, sha256(archive), archive.stat().st_size, unpacked, entry.output_digest)


def _pack(entry: Entry, archive: Path) -> None:
    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with written_aside(archive) as aside:
        # zstd ends early where the disk is full; its exit status tells.
        command = ["zstd", "-q", "-f", "-o", str(aside)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        with suppress(BrokenPipeError), process, tarfile.open(fileobj=process.stdin, mode="w|") as members:
            for name in _PARTS:
                if (entry.path / name).exists():
                    members.add(entry.path / name, name, filter=anonymous)
        if process.wait() != 0:
            raise StoreError(f"zstd could not write {archive}", hint=FULL)


def _unpacked_size(archive: Path, most: float = math.inf) -> int | None:
    """Bytes of an archive without compression, counted to little more than `most`; None if it is damaged, or none."""
    count = 0
    command = ["zstd", "-dcq", str(archive)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        while count <= most and (piece := process.stdout.read(1 << 20)):
            count += len(piece)
    return count if count > most or process.returncode == 0 else None


def _private_key(config: Config) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = config.store / "substitutes.key"
    with disk_trouble():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Of two that export for the first time, both sign with the key of the quicker one.
            write_atomically(path, Ed25519PrivateKey.generate().private_bytes_raw(), 0o600, replace=False)
        data = path.read_bytes()
    try:
        return Ed25519PrivateKey.from_private_bytes(data)
    except ValueError:
        raise StoreError(
            f"{path} is not a private key",
            hint="put the right one there; or remove it, and give the new public key to all who use your builds",
        ) from None
