"""The frame of a package file: one of zstd and nothing else, unpacked up to a limit."""

from __future__ import annotations

import io
import os

#: All members together, unpacked.
MOST_BYTES = 4 << 30

_CHUNK = 1 << 20
_CUT = "zstd cannot unpack it to its end"


class Refused(Exception):
    """Why this is not a package."""


def shown(text: bytes) -> str:
    """Bytes of a hostile file as a part of a message."""
    return ascii(text[:80].decode("latin-1"))


def check_frame(file: io.BufferedReader) -> None:
    """Refuse what is not exactly one frame of zstd: other programs skip, join or ignore what else there is."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(18)
    if head[:4] != b"\x28\xb5\x2f\xfd":
        raise Refused("it is not packed by zstd")
    flags = head[4] if len(head) > 4 else 0x08
    if flags & 0x1B:
        raise Refused("its frame of zstd has a dictionary or unknown flags")
    single = flags >> 5 & 1
    place = 5 + (1 - single) + (single, 2, 4, 8)[flags >> 6]
    last = 0
    while not last and place < size:
        file.seek(place)
        header = int.from_bytes(file.read(3), "little")
        last, kind, length = header & 1, header >> 1 & 3, header >> 3
        if kind == 3 or not (length or last):
            raise Refused("its frame of zstd has a block of an unknown kind")
        # A block of the second kind is one byte, repeated.
        place += 3 + (1 if kind == 1 else length)
    place += 4 if flags & 4 else 0
    if not last or place > size:
        raise Refused(_CUT)
    if place < size:
        raise Refused(f"{size - place} bytes come after its frame of zstd")


class Unpacked:
    """What zstd unpacks from standard input."""

    def __init__(self) -> None:
        os.lseek(0, 0, os.SEEK_SET)
        reading, writing = os.pipe()
        moves: list[tuple] = [(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
        try:
            self.child = os.posix_spawnp("zstd", ["zstd", "-dcq"], os.environ, file_actions=moves)
        except FileNotFoundError:
            raise Refused("this host has no zstd to unpack it with") from None
        os.close(writing)
        self.pipe = os.fdopen(reading, "rb", _CHUNK)
        self.allowed = MOST_BYTES  # What the members may still bring.

    def read(self, size: int) -> bytes:
        """Exactly so many bytes."""
        self.allowed -= size
        data = self.pipe.read(size)
        if len(data) < size:
            self.finish()
            raise Refused("its archive is cut off")
        return data

    def finish(self) -> None:
        """Nothing is left to read: was zstd content?"""
        if os.waitpid(self.child, 0)[1]:
            raise Refused(_CUT)
