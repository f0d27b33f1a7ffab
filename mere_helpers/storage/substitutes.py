"""Finished builds of someone else, taken in place of building: signed as a whole, and each verified by its hash."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..config import Config
from ..errors import StoreError
from .tree import disk_trouble

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from .store import Entry

_INDEX = "index.json"
_SIGNATURE = "index.json.sig"

_UNSET = "unset MERE_SUBSTITUTES   # and everything is built instead"

#: Bytes to take at a time.
_PIECE = 1 << 20

#: Seconds to wait for a connection, and for the next bytes on it.
_PATIENCE = (10, 30)


class Substitutes:
    """A folder or a site with packed entries of a store, and an index of them that is signed.

    Parameters
    ----------
    config : Config
        Its `substitutes` says where they are, its `substitutes_key` whose signature is good.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    def unpack(self, key: str, folder: Path) -> bool:
        """Unpack the entry with this key into a folder; False if there is none.

        Raises
        ------
        StoreError
            The signature is not good, or what came is not what the index says.
        """
        about = self._index.get(key)
        if about is None:
            return False
        archive = folder / "archive"
        with open(archive, "wb") as target:
            for piece in self._pieces(f"{key}.tar.zst"):
                target.write(piece)
        with open(archive, "rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != about["sha256"]:
            raise StoreError(
                f"the substitute for {about['id']} is not the one that was signed: expected sha256 {about['sha256']}, "
                f"found {found}",
                hint=_UNSET,
            )
        # Debian 12 has Python 3.11.2, and there are filters since 3.11.4; `_inside` does without.
        options: dict[str, Any] = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}
        process = subprocess.Popen(["zstd", "-dcq", archive], stdout=subprocess.PIPE)
        with process, tarfile.open(fileobj=process.stdout, mode="r|") as members:
            members.extractall(folder, _inside(members, folder, about["id"]), **options)
        archive.unlink()
        return True

    def output_digest(self, key: str) -> str | None:
        """What the entry with this key would have as its `output_digest`; None if there is none. Raises as `unpack`."""
        return self._index.get(key, {}).get("output_digest")

    @cached_property
    def _index(self) -> dict[str, dict[str, str]]:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        index = b"".join(self._pieces(_INDEX))
        try:
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(self._config.substitutes_key, validate=True))
        except (ValueError, binascii.Error):
            raise StoreError(
                "MERE_SUBSTITUTES_KEY is not a public key, so nobody knows whose substitutes are good",
                hint="set it to the line that `python -m mere_helpers export` printed",
            ) from None
        try:
            key.verify(base64.b64decode(b"".join(self._pieces(_SIGNATURE))), index)
        except (InvalidSignature, ValueError):
            raise StoreError(
                f"the index of {self._config.substitutes} is not signed with the key in MERE_SUBSTITUTES_KEY",
                hint=_UNSET,
            ) from None
        return json.loads(index)

    def _pieces(self, name: str) -> Iterator[bytes]:
        """The contents of a file, piece by piece."""
        place = self._config.substitutes
        assert place is not None
        if urlsplit(place).scheme not in ("http", "https"):
            try:
                yield from self._read(Path(place).expanduser() / name)
            except OSError as error:
                raise StoreError(f"cannot read {name} of {place}: {error.strerror}", hint=_UNSET) from None
        elif self._config.offline:
            raise StoreError(f"{place} is on the network, and MERE_OFFLINE is set", hint=_UNSET)
        else:
            yield from self._download(f"{place.rstrip('/')}/{name}")

    def _read(self, path: Path) -> Iterator[bytes]:
        with open(path, "rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    def _download(self, url: str) -> Iterator[bytes]:
        import requests

        try:
            headers = {"Accept-Encoding": "identity"}
            with requests.get(url, stream=True, timeout=_PATIENCE, headers=headers) as answer:
                answer.raise_for_status()
                yield from answer.iter_content(_PIECE)
        except requests.RequestException as error:
            raise StoreError(f"cannot get {url}: {error}", hint=f"run again; or {_UNSET}") from None


def export(config: Config, entries: Iterable[Entry], folder: Path) -> str:
    """Pack entries of the store into a folder that others can use as substitutes.

    Parameters
    ----------
    config : Config
        The key that signs lies in its store, and is made at the first time.
    entries : iterable of Entry
    folder : Path
        What is packed there already is kept, and not packed again.

    Returns
    -------
    str
        The public key, for ``MERE_SUBSTITUTES_KEY``.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    private = _private_key(config)
    index = {}
    with disk_trouble():
        folder.mkdir(parents=True, exist_ok=True)
        for entry in sorted(entries, key=lambda entry: entry.key):
            archive = folder / f"{entry.key}.tar.zst"
            if not archive.exists():
                _pack(entry, archive)
            with open(archive, "rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            index[entry.key] = {"id": entry.id, "sha256": sha256, "output_digest": entry.output_digest}
        text = json.dumps(index, indent=1).encode()
        (folder / _INDEX).write_bytes(text)
        (folder / _SIGNATURE).write_bytes(base64.b64encode(private.sign(text)))
    return base64.b64encode(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def _inside(members: Iterable[tarfile.TarInfo], folder: Path, id: str) -> Iterator[tarfile.TarInfo]:
    """The members, as long as none of them would be outside of the folder, by its name or through a link."""
    top = os.path.realpath(folder)
    for member in members:
        # A second name of a file would let others change the file; where a symbolic link leads is its own affair.
        for name in (member.name, member.linkname) if member.islnk() else (member.name,):
            # Asked when all members before it are in place, so that their links are followed.
            if os.path.commonpath([top, os.path.realpath(os.path.join(top, name))]) != top:
                raise StoreError(f"the substitute for {id} has a file outside of its folder: {name}", hint=_UNSET)
        member.mode &= 0o755
        yield member


def _pack(entry: Entry, archive: Path) -> None:
    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    aside = archive.with_suffix(".new")
    process = subprocess.Popen(["zstd", "-q", "-f", "-o", aside], stdin=subprocess.PIPE)
    with process, tarfile.open(fileobj=process.stdin, mode="w|") as members:
        for name in ("out", "log", "meta.json"):
            if (entry.path / name).exists():
                members.add(entry.path / name, name, filter=anonymous)
    aside.rename(archive)


def _private_key(config: Config) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = config.store / "substitutes.key"
    if not path.exists():
        with disk_trouble():
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(".new")
            aside.touch(mode=0o600)
            aside.write_bytes(Ed25519PrivateKey.generate().private_bytes_raw())
            aside.rename(path)
    return Ed25519PrivateKey.from_private_bytes(path.read_bytes())
