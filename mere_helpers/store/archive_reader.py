"""Read one package file strictly, as a program of its own: `archive` starts it, so that a hostile file costs only it.

Accepted is the one way in which makepkg writes packages: one frame of zstd, in it a tar archive of ustar headers with
pax extensions. All else is refused, above all what two programs could read in two ways. The package is its
standard input, its argument a JSON object (`front`, `needles`), its answer another one: the members, or what is wrong.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import resource
import sys
import zlib
from collections.abc import Iterator

#: Of this program and of zstd, each: bytes of address space, and seconds of processor time.
_MEMORY, _CPU = 1 << 30, 300

#: All members together, unpacked: their bytes, how many there may be, and the bytes of all names, links and attributes,
#: which are kept in memory.
_MOST_BYTES, _MOST_MEMBERS, _MOST_TEXT = 4 << 30, 100_000, 32 << 20

#: What is handed over as text, with its greatest size. The listing is packed by gzip, and handed over unpacked.
_TEXTS = {".PKGINFO": 1 << 20, ".BUILDINFO": 1 << 20, ".MTREE": 4 << 20}
_LISTING = 16 << 20
#: Bytes of a path, of a pax header, and of zeros behind the end, where programs fill their last record up.
_LONGEST_PATH, _PAX, _PADDING = 4095, 64 << 10, 1 << 20

_BLOCK, _CHUNK = 512, 1 << 20
_FILE, _HARD_LINK, _SYMLINK, _DIRECTORY, _EXTENSION = b"0", b"1", b"2", b"5", b"x"

_NUMBER, _TEXT = re.compile(rb"([0-7]+)[ \0]+"), re.compile(rb"([ -~]*)\0*")
#: The fields of a header, with their lengths and what they may hold: there are no devices, for instance.
_FIELDS = (
    *(("name", 100, _TEXT), ("mode", 8, _NUMBER), ("uid", 8, _NUMBER), ("gid", 8, _NUMBER), ("size", 12, _NUMBER)),
    *(("mtime", 12, _NUMBER), ("checksum", 8, _NUMBER), ("type", 1, re.compile(b"([0125x])")), ("link", 100, _TEXT)),
    *(("magic", 8, re.compile(rb"(ustar\x0000)")), ("uname", 32, _TEXT), ("gname", 32, _TEXT)),
    *(("devices", 16, re.compile(rb"([0 \0]*)")), ("prefix", 155, _TEXT), ("rest", 12, re.compile(rb"(\0*)"))),
)
_PRINTABLE = re.compile(rb"[ -~]*")
_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ([A-Za-z][!-<>-~]*)=")
_TIME = re.compile(rb"[0-9]{1,11}(\.[0-9]{1,9})?")
_TIMES = (b"mtime", b"atime", b"ctime", b"LIBARCHIVE.creationtime")
_PATHS = (b"path", b"linkpath")
#: More than owner and permissions; a file capability is an extended attribute.
_ATTRIBUTES = (b"SCHILY.xattr.", b"LIBARCHIVE.xattr.", b"SCHILY.acl.", b"SCHILY.fflags")

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
        self.allowed = _MOST_BYTES  # What the members may still bring.

    def read(self, size: int) -> bytes:
        """Exactly so many bytes."""
        self.allowed -= size
        data = self.pipe.read(size)
        if len(data) < size:
            self.finish()
            raise Refused("its archive is cut off")
        return data

    def skip_padding(self, size: int) -> None:
        """Read the zeros that fill up the last block of a body."""
        if self.read(-size % _BLOCK).strip(b"\0"):
            raise Refused("something other than zeros fills up a block")

    def finish(self) -> None:
        """Nothing is left to read: was zstd content?"""
        if os.waitpid(self.child, 0)[1]:
            raise Refused(_CUT)


def read_header(block: bytes) -> dict:
    """The fields of a header that is one: numbers, and what the others hold."""
    header: dict = {}
    place = 0
    for field, length, form in _FIELDS:
        match = form.fullmatch(block, place, place + length)
        if match is None:
            raise Refused(f"the {field} in a header is {shown(block[place : place + length])}")
        header[field] = int(match[1], 8) if form is _NUMBER else match[1]
        place += length
    if header["checksum"] != sum(block[:148] + b" " * 8 + block[156:]):
        raise Refused("the checksum of a header is wrong")
    return header


def records(data: bytes) -> dict[bytes, bytes]:
    """The records of a pax header."""
    found: dict[bytes, bytes] = {}
    while data:
        match = _RECORD.match(data)
        if match is None or not match.end() < (length := int(match[1])) <= len(data) or data[length - 1] != 0x0A:
            raise Refused("a pax header cannot be read")
        key, value, data = match[2], data[match.end() : length - 1], data[length:]
        if key in found:
            raise Refused(f"a pax header has two records {shown(key)}")
        if not (key in _PATHS or key.startswith(_ATTRIBUTES) or (key in _TIMES and _TIME.fullmatch(value))):
            raise Refused(f"a pax header has the record {shown(key + b'=' + value)}")
        found[key] = value
    return found


def members(stream: Unpacked) -> Iterator[dict]:
    """All members; who takes one reads its body, of `size` bytes, before the next. At the end, all has been read."""
    extension: dict[bytes, bytes] = {}
    kinds: dict[str, str] = {}
    kept = 0
    while any(block := stream.read(_BLOCK)):
        header = read_header(block)
        size = header["size"]
        if size > stream.allowed:
            raise Refused(f"it is larger than {_MOST_BYTES >> 30} GiB")
        if header["type"] == _EXTENSION:
            if extension or not 0 < size <= _PAX:
                raise Refused("a pax header is empty, too long, or one of two")
            extension = records(stream.read(size))
            stream.skip_padding(size)
            continue
        member = read_member(header, extension)
        name = member["name"]
        if name in kinds:
            raise Refused(f"{name} is in the package twice")
        if header["type"] == _HARD_LINK and kinds.get(member["link"]) != "0":
            raise Refused(f"{name} is a hard link to {member['link']}, which is no file before it")
        kinds[name] = member["type"]
        kept += sum(map(len, (name, member["link"], *extension, *extension.values())))
        extension = {}
        if len(kinds) > _MOST_MEMBERS or kept > _MOST_TEXT:
            raise Refused(f"it has more than {_MOST_MEMBERS:,} members, or their names are too long")
        yield member
        stream.skip_padding(size)
    if extension:
        raise Refused("a pax header is the last one")
    # The first block of zeros was read already, and no end has less than two.
    rest = stream.read(_BLOCK) + stream.pipe.read(_PADDING)
    if rest.strip(b"\0") or stream.pipe.read(1):
        raise Refused("something comes after the end of its archive")
    stream.finish()


def read_member(header: dict, extension: dict[bytes, bytes]) -> dict:
    kind, name, prefix, mode = header["type"], header["name"], header["prefix"], header["mode"]
    if prefix.endswith(b"/") or (prefix and not name):
        raise Refused("a header has a prefix that is none")
    name = extension.get(b"path", prefix + b"/" + name if prefix else name)
    link = extension.get(b"linkpath", header["link"])
    for path in (name, link):
        if not _PRINTABLE.fullmatch(path) or len(path) > _LONGEST_PATH:
            raise Refused(f"the name {shown(path)} is too long, or not in printable ASCII")
    if kind == _DIRECTORY:
        name = name.removesuffix(b"/")
    if not name or name.endswith(b"/"):
        raise Refused(f"the name {shown(name)} is none for what it names")
    if bool(link) != (kind in (_HARD_LINK, _SYMLINK)):
        raise Refused(f"{shown(name)} has a link's target and is none, or the other way around")
    if header["size"] and kind != _FILE:
        raise Refused(f"{shown(name)} has a body, and is no file")
    if mode > 0o7777:
        raise Refused(f"{shown(name)} has the mode {mode:o}")
    more = {key: value for key, value in extension.items() if key.startswith(_ATTRIBUTES)}
    return {
        **{field: header[field] for field in ("mode", "size", "uid", "gid")},
        **{field: header[field].decode() for field in ("type", "uname", "gname")},
        "name": name.decode(),
        "link": link.decode(),
        "mtime": int(extension[b"mtime"].partition(b".")[0]) if b"mtime" in extension else header["mtime"],
        "attributes": {key.decode(): value.decode(errors="surrogateescape") for key, value in more.items()},
    }


def read_body(stream: Unpacked, member: dict, needles: list[bytes]) -> bytes:
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
    member["sha256"] = digest.hexdigest() if member["type"] == "0" else ""
    member["mentions"] = [os.fsdecode(needle) for needle in sorted(hits)]
    return b"".join(kept)


def unpack_listing(data: bytes) -> bytes:
    """What gzip has packed, all of it once."""
    unpacking = zlib.decompressobj(31)
    try:
        listing = unpacking.decompress(data, _LISTING)
    except zlib.error:
        listing = b""
    if not unpacking.eof or unpacking.unused_data:
        raise Refused(f"its .MTREE is not packed by gzip, or larger than {_LISTING >> 20} MiB")
    return listing


def answer(front: str, needles: list[str]) -> dict:
    """All that the package holds; with `front`, no further than to the text of this name."""
    if not front:
        check_frame(os.fdopen(0, "rb", closefd=False))
    stream, found, texts = Unpacked(), [], {}
    for member in members(stream):
        data, name = read_body(stream, member, [os.fsencode(needle) for needle in needles]), member["name"]
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
