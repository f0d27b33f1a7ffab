"""Substitutes as a test wants them: any archive, offered in an index with a good signature."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mere_helpers.store.signed_index import INDEX, Index, Offer, write_index


def pack(folder: Path, key: str, tar: bytes, **claims: object) -> Offer:
    """Compress a tar archive into the folder; what is said of it is true but for the claims."""
    archive = folder / f"{key}.tar.zst"
    subprocess.run(["zstd", "-qf", "-", "-o", archive], input=tar, check=True)
    data = archive.read_bytes()
    offer = Offer("packages/a", hashlib.sha256(data).hexdigest(), len(data), len(tar), "0" * 64)
    return replace(offer, **claims)


def publish(
    folder: Path, private: Ed25519PrivateKey, offers: dict[str, Offer], *, serial: int = 1, date: float | None = None
) -> str:
    """Write the signed index into the folder; return the public key, as in MERE_SUBSTITUTES_KEY."""
    index = Index(serial, int(time.time() if date is None else date), offers)
    (folder / INDEX).write_bytes(write_index(index, private))
    return base64.b64encode(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
