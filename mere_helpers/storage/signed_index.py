"""The index of substitutes: one file that is signed as a whole, with a number that never goes back.

The file is JSON, and its signature comes first: ``{"signature": "…", "payload": …}``. What is signed are the bytes of
the payload as they are in the file, so that nothing of it is parsed before its signature was found good.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from ..config import Config
from ..errors import StoreError
from ..marker import STORE, mark
from .aside import written_aside
from .lock import Locks
from .tree import disk_trouble

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: The name of the file.
INDEX = "index.json"

#: Bytes that an index may have, a hundred times what the book needs.
LARGEST = 16 << 20

#: Seconds after which an index is called old.
OLD = 90 * 24 * 3600

_ENVELOPE = re.compile(rb'\{"signature": "([A-Za-z0-9+/]{86}==)", "payload": (.*)\}\n?', re.DOTALL)

_KEY = re.compile(r"[0-9A-Za-z]{1,128}")


class SignatureError(Exception):
    """The file is not an index that was signed with the key."""


@dataclass(frozen=True)
class Offer:
    """One packed build.

    Attributes
    ----------
    id : str
        Such as ``packages/musl``.
    sha256 : str
        Of the archive.
    size, unpacked : int
        Bytes of the archive as it is, and without compression.
    output_digest : str
        The hash over the outputs.
    """

    id: str
    sha256: str
    size: int
    unpacked: int
    output_digest: str


@dataclass(frozen=True)
class Index:
    """All that a place offers, by key; `serial` grows with each index, `date` is in seconds since 1970."""

    serial: int
    date: int
    offers: dict[str, Offer]


def write_index(index: Index, private: Ed25519PrivateKey) -> bytes:
    """The file, signed."""
    payload = json.dumps(asdict(index), indent=1).encode()
    signature = base64.b64encode(private.sign(payload))
    return b'{"signature": "' + signature + b'", "payload": ' + payload + b"}\n"


def read_index(data: bytes, public: str) -> Index:
    """What a file says, if the key has signed it.

    Parameters
    ----------
    data : bytes
        The file.
    public : str
        The public key, in base64.

    Raises
    ------
    StoreError
        The key is not a public key.
    SignatureError
        The key has not signed it, or it is no index.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
    except (ValueError, binascii.Error):
        raise StoreError(
            "MERE_SUBSTITUTES_KEY is not a public key, so nobody knows whose substitutes are good",
            hint="set it to the line that `python -m mere_helpers export` printed",
        ) from None
    envelope = _ENVELOPE.fullmatch(data)
    if envelope is None:
        raise SignatureError("no signed index")
    try:
        key.verify(base64.b64decode(envelope[1]), envelope[2])
    except InvalidSignature:
        raise SignatureError("another key, or other bytes") from None
    try:
        return _parse(json.loads(envelope[2]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise SignatureError("no index that this version understands") from None


def accept(config: Config, index: Index, place: str, stop: Flag) -> None:
    """Refuse an index that is older than one of the same key that this store has seen; remember it otherwise.

    Raises
    ------
    StoreError
        It is older, or the store cannot be read or written.
    """
    with _seen(config, stop) as seen:
        newest = seen.get(config.substitutes_key, 0)
        if index.serial < newest:
            raise StoreError(
                f"the index of {place} has the serial number {index.serial}, of {_day(index)}, but this store has "
                f"seen {newest}: an old index may offer what was taken back since",
                hint="ask whoever packed the substitutes to export them again; or unset MERE_SUBSTITUTES",
            )
        seen[config.substitutes_key] = index.serial


@contextmanager
def next_serial(config: Config, public: str, before: int) -> Iterator[int]:
    """A number above all that this store has given out or seen for a key, and above `before`.

    Until the end, nobody else who uses this store gets one: what is published last has the highest number.
    """
    with _seen(config, Flag()) as seen:
        # The time, so that a store which has forgotten its numbers goes on above them.
        serial = max(int(time.time()), seen.get(public, 0) + 1, before + 1)
        yield serial
        seen[public] = serial


@contextmanager
def _seen(config: Config, stop: Flag) -> Iterator[dict[str, int]]:
    """The highest serial number of each key, written back if it was changed."""
    path = config.store / "substitutes.seen"
    mark(config.store, STORE)
    with Locks(config.store / "locks", stop).hold("substitutes"), disk_trouble():
        seen = _numbers(path)
        changed = dict(seen)
        yield changed
        if changed != seen:
            with written_aside(path) as aside:
                aside.write_text(json.dumps(changed, indent=1))


def _numbers(path: Path) -> dict[str, int]:
    try:
        seen = json.loads(path.read_text())
        return {str(key): int(serial) for key, serial in seen.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError):
        raise StoreError(
            f"{path} is damaged; it tells old indexes of substitutes from new ones",
            hint=f"rm {path}   # the next index is believed to be new",
        ) from None


def _parse(payload: Any) -> Index:
    numbers = [payload["serial"], payload["date"]]
    offers = {key: Offer(**about) for key, about in payload["offers"].items() if _KEY.fullmatch(key)}
    for offer in offers.values():
        numbers += [offer.size, offer.unpacked]
        if not all(isinstance(text, str) for text in (offer.id, offer.sha256, offer.output_digest)):
            raise TypeError
    if not all(type(number) is int and 0 <= number < 1 << 63 for number in numbers):
        raise ValueError
    return Index(payload["serial"], payload["date"], offers)


def _day(index: Index) -> str:
    try:
        return time.strftime("%Y-%m-%d", time.gmtime(index.date))
    except (OverflowError, ValueError, OSError):
        return "a date unknown"
