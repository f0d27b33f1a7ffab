"""The index of substitutes: one file that is signed as a whole, with a number that never goes back.

The file is JSON, and its signature comes first: ``{"signature": "…", "payload": …}``. What is signed are the bytes of
the payload as they are in the file, so that nothing of it is parsed before its signature was found good.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from ..config import Config
from ..errors import StoreError
from ..files import disk_trouble, write_atomically
from ..locks import Locks
from ..marker import STORE, mark

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: The name of the file.
INDEX = "index.json"

#: Bytes that an index may have, a hundred times what the book needs.
LARGEST = 16 << 20

_ENVELOPE = re.compile(rb'\{"signature": "([A-Za-z0-9+/]{86}==)", "payload": (.*)\}\n?', re.DOTALL)

_KEY = re.compile(r"[0-9A-Za-z]{1,128}")


class SignatureError(Exception):
    """The file is not an index that was signed with the key."""


@dataclass(frozen=True)
class Offer:
    """One packed build: its id, the sha256 of its archive, bytes of that as it is and without compression, and the hash
    over its outputs."""

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
    return b'{"signature": "%b", "payload": %b}\n' % (base64.b64encode(private.sign(payload)), payload)


def read_index(data: bytes, public: str) -> Index:
    """What a file says, if the public key (in base64) has signed it; otherwise SignatureError.

    StoreError: the key is not a public key.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
    except ValueError:
        raise StoreError(
            "MERE_SUBSTITUTES_KEY is not a public key, so nobody knows whose substitutes are good",
            hint="set it to the line that `python -m mere_helpers export` printed",
        ) from None
    envelope = _ENVELOPE.fullmatch(data)
    if envelope is None:
        raise SignatureError("no signed index")
    try:
        key.verify(base64.b64decode(envelope[1]), envelope[2])
        return _parse(json.loads(envelope[2]))
    except InvalidSignature:
        raise SignatureError("another key, or other bytes") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise SignatureError("no index that this version understands") from None


def _parse(payload: Any) -> Index:
    offers = {key: Offer(**about) for key, about in payload["offers"].items() if _KEY.fullmatch(key)}
    numbers = [payload["serial"], payload["date"]]
    for offer in offers.values():
        numbers += [offer.size, offer.unpacked]
        if not all(isinstance(text, str) for text in (offer.id, offer.sha256, offer.output_digest)):
            raise TypeError
    if not all(type(number) is int and 0 <= number < 1 << 63 for number in numbers):
        raise ValueError
    return Index(payload["serial"], payload["date"], offers)


def accept(config: Config, index: Index, place: str, stop: Flag) -> None:
    """Remember an index of the key in the settings; StoreError: this store has seen a newer one."""
    with _seen(config, stop) as seen:
        newest = seen.get(config.substitutes_key, 0)
        if index.serial < newest:
            day = "a date unknown"
            with suppress(OverflowError, ValueError, OSError):
                day = time.strftime("%Y-%m-%d", time.gmtime(index.date))
            raise StoreError(
                f"the index of {place} has the serial number {index.serial}, of {day}, but this store has "
                f"seen {newest}: an old index may offer what was taken back since",
                hint="ask whoever packed the substitutes to export them again; or unset MERE_SUBSTITUTES",
            )
        seen[config.substitutes_key] = index.serial


@contextmanager
def next_serial(config: Config, public: str, before: int) -> Iterator[int]:
    """A number above all that this store has given out or seen for a key, and above `before`.

    Until the end, nobody else who uses this store gets one: what is published last has the highest number.
    """
    with _seen(config) as seen:
        # The time, so that a store which has forgotten its numbers goes on above them.
        serial = max(int(time.time()), seen.get(public, 0) + 1, before + 1)
        yield serial
        seen[public] = serial


@contextmanager
def _seen(config: Config, stop: Flag | None = None) -> Iterator[dict[str, int]]:
    """The highest serial number of each key, written back if it was changed."""
    path = config.store / "substitutes.seen"
    mark(config.store, STORE)
    with Locks(config.store / "locks", stop).hold("substitutes"), disk_trouble():
        try:
            before = {str(key): int(serial) for key, serial in json.loads(path.read_text()).items()}
        except FileNotFoundError:
            before = {}
        except (ValueError, TypeError, AttributeError):
            raise StoreError(
                f"{path} is damaged; it tells old indexes of substitutes from new ones",
                hint=f"rm {path}   # the next index is believed to be new",
            ) from None
        seen = dict(before)
        yield seen
        if seen != before:
            write_atomically(path, json.dumps(seen, indent=1))
