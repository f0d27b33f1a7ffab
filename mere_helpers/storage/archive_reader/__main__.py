"""Read one package file strictly, as a program of its own: `archive` starts it, so that a hostile file costs only it.

Accepted is the one way in which makepkg writes packages: one frame of zstd, in it a tar archive of ustar headers with
pax extensions. All else is refused, above all what two programs could read in two ways. It imports nothing of the
library, so that it starts quickly.

The package is its standard input; its argument is a JSON object (`front`, `needles`) and its answer another one, with
the members or with what is wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import zlib

from headers import members
from unpacking import Refused, Unpacked, check_frame

#: Of this program and of zstd, each: bytes of address space, and seconds of processor time.
_MEMORY = 1 << 30
_CPU = 300

#: What is handed over as text, with its greatest size. The listing is packed by gzip, and handed over unpacked.
_TEXTS = {".PKGINFO": 1 << 20, ".BUILDINFO": 1 << 20, ".MTREE": 4 << 20}
_LISTING = 16 << 20

_CHUNK = 1 << 20


def body(stream: Unpacked, member: dict, needles: list[bytes]) -> bytes:
    """Read a member's body and write its `sha256` and the needles that it `mentions` into it; texts are returned."""
    name, left = member["name"], member["size"]
    limit = _TEXTS.get(name)
    if limit is not None and left > limit:
        raise Refused(f"its {name} is larger than {limit >> 20} MiB")
    digest = hashlib.sha256()
    overlap = max(map(len, needles), default=1)
    hits = {needle for needle in needles if needle in member["link"].encode()}
    piece, kept = b"", []
    while left:
        data = stream.read(min(left, _CHUNK))
        left -= len(data)
        digest.update(data)
        # Each piece is looked at together with the end of the last: a text may lie across the border.
        piece = piece[-overlap:] + data
        hits.update(needle for needle in needles if needle in piece)
        if limit is not None:
            kept.append(data)
    if member["type"] == "0":
        member["sha256"] = digest.hexdigest()
    member["mentions"] = [os.fsdecode(needle) for needle in sorted(hits)]
    return b"".join(kept)


def unpack_listing(data: bytes) -> bytes:
    """What gzip has packed, all of it once."""
    unpacking = zlib.decompressobj(31)
    try:
        text = unpacking.decompress(data, _LISTING)
    except zlib.error:
        text = b""
    if not unpacking.eof or unpacking.unused_data:
        raise Refused(f"its .MTREE is not packed by gzip, or larger than {_LISTING >> 20} MiB")
    return text


def answer(front: str, needles: list[str]) -> dict:
    """All that the package holds; with `front`, no further than to the text of this name."""
    if not front:
        check_frame(os.fdopen(0, "rb", closefd=False))
    stream, found, texts = Unpacked(), [], {}
    for member in members(stream):
        data, name = body(stream, member, [os.fsencode(needle) for needle in needles]), member["name"]
        found.append(member)
        if name in _TEXTS and member["type"] == "0":
            texts[name] = (unpack_listing(data) if name == ".MTREE" else data).decode("latin-1")
            if name == front:
                break
    return {"members": found, "texts": texts}


if __name__ == "__main__":
    # It writes no files, not even a core.
    for limit, most in (("AS", _MEMORY), ("CPU", _CPU), ("FSIZE", 0), ("CORE", 0)):
        kind = getattr(resource, f"RLIMIT_{limit}")
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))
    try:
        result = answer(**json.loads(sys.argv[1]))
    except Refused as error:
        result = {"refused": str(error)}
    except MemoryError:
        result = {"refused": f"reading it takes more than {_MEMORY >> 30} GiB of memory"}
    sys.stdout.write(json.dumps(result))
