"""Finished builds packed for others, who take them as substitutes."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tarfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import Config
from ..errors import StoreError
from ..fetching.patience import TransferError
from ..fetching.transfer import read_path
from .aside import written_aside
from .signed_index import INDEX, LARGEST, Index, Offer, SignatureError, next_serial, read_index, write_index
from .tree import FULL, disk_trouble

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from .store import Entry


def export(config: Config, entries: Iterable[Entry], folder: Path) -> str:
    """Pack entries of the store into a folder that others can use as substitutes.

    Parameters
    ----------
    config : Config
        The key that signs is in its store, and is made at the first time.
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
    public = base64.b64encode(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    with disk_trouble():
        folder.mkdir(parents=True, exist_ok=True)
        offers = {entry.key: _offer(entry, folder) for entry in sorted(entries, key=lambda entry: entry.key)}
        with next_serial(config, public, _last_serial(folder / INDEX, public)) as serial:
            data = write_index(Index(serial, int(time.time()), offers), private)
            if len(data) > LARGEST:
                raise StoreError(
                    f"the index has {len(data):,} bytes, more than anybody accepts ({LARGEST:,})",
                    hint="export fewer builds",
                )
            with written_aside(folder / INDEX) as aside:
                aside.write_bytes(data)
    return public


def _offer(entry: Entry, folder: Path) -> Offer:
    archive = folder / f"{entry.key}.tar.zst"
    unpacked = _unpacked_size(archive) if archive.exists() else None
    if unpacked is None:
        _pack(entry, archive)
        unpacked = _unpacked_size(archive)
        if unpacked is None:
            raise StoreError(f"{archive} cannot be read back", hint="look at dmesg for errors of the disk")
    with open(archive, "rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return Offer(entry.id, sha256, archive.stat().st_size, unpacked, entry.output_digest)


def _last_serial(path: Path, public: str) -> int:
    """The number of the index that is there, if it is ours."""
    with suppress(OSError, TransferError, SignatureError):
        return read_index(b"".join(read_path(path, LARGEST)), public).serial
    return 0


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
            for name in ("out", "log", "meta.json"):
                if (entry.path / name).exists():
                    members.add(entry.path / name, name, filter=anonymous)
        if process.wait() != 0:
            raise StoreError(f"zstd could not write {archive}", hint=FULL)


def _unpacked_size(archive: Path) -> int | None:
    """Bytes of an archive without compression; None if it is damaged."""
    count = 0
    command = ["zstd", "-dcq", str(archive)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        while piece := process.stdout.read(1 << 20):
            count += len(piece)
    return count if process.returncode == 0 else None


def _private_key(config: Config) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = config.store / "substitutes.key"
    with disk_trouble():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Of two that export for the first time, both sign with the key of the quicker one.
            with written_aside(path, 0o600, replace=False) as aside:
                aside.write_bytes(Ed25519PrivateKey.generate().private_bytes_raw())
        data = path.read_bytes()
    try:
        return Ed25519PrivateKey.from_private_bytes(data)
    except ValueError:
        raise StoreError(
            f"{path} is not a private key",
            hint="put the right one there; or remove it, and give the new public key to all who use your builds",
        ) from None
