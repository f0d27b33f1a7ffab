"""The headers of a package file: ustar with pax extensions, and each field as the standard has it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from unpacking import MOST_BYTES, Refused, Unpacked, shown

_MOST_MEMBERS = 100_000
#: Names, link targets and attributes of all members together: they are kept in memory.
_MOST_TEXT = 32 << 20
_LONGEST_PATH = 4095
_PAX = 64 << 10
#: Zeros behind the end: programs fill their last record up.
_PADDING = 1 << 20

_BLOCK = 512
_FILE, _HARD_LINK, _SYMLINK, _DIRECTORY, _EXTENSION = b"0", b"1", b"2", b"5", b"x"

_NUMBER = re.compile(rb"([0-7]+)[ \0]+")
_PRINTABLE = re.compile(rb"[ -~]*")
_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ([A-Za-z][!-<>-~]*)=")
_TIME = re.compile(rb"[0-9]{1,11}(\.[0-9]{1,9})?")
_TIMES = (b"mtime", b"atime", b"ctime", b"LIBARCHIVE.creationtime")
_PATHS = (b"path", b"linkpath")
#: More than owner and permissions; a file capability is an extended attribute.
_ATTRIBUTES = (b"SCHILY.xattr.", b"LIBARCHIVE.xattr.", b"SCHILY.acl.", b"SCHILY.fflags")


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
    """The headers of all members; who takes one reads its body, of `size` bytes, before the next.

    Types are those of tar. At the end, all has been read and zstd was content.
    """
    extension: dict[bytes, bytes] = {}
    kinds: dict[str, str] = {}
    text = 0
    while any(block := stream.read(_BLOCK)):
        kind, size = _check(block), _number(block, 124, 12, "size")
        if size > stream.allowed:
            raise Refused(f"it is larger than {MOST_BYTES >> 30} GiB")
        if kind == _EXTENSION:
            if extension or not 0 < size <= _PAX:
                raise Refused("a pax header is empty, too long, or one of two")
            extension = records(stream.read(size))
            _skip_padding(stream, size)
            continue
        member = _member(block, kind, size, extension)
        name = member["name"]
        if name in kinds:
            raise Refused(f"{name} is in the package twice")
        if kind == _HARD_LINK and kinds.get(member["link"]) != "0":
            raise Refused(f"{name} is a hard link to {member['link']}, which is no file before it")
        kinds[name] = member["type"]
        text += sum(map(len, (name, member["link"], *extension, *extension.values())))
        extension = {}
        if len(kinds) > _MOST_MEMBERS or text > _MOST_TEXT:
            raise Refused(f"it has more than {_MOST_MEMBERS:,} members, or their names are too long")
        yield member
        _skip_padding(stream, size)
    if extension:
        raise Refused("a pax header is the last one")
    _check_end(stream)


def _member(block: bytes, kind: bytes, size: int, extension: dict[bytes, bytes]) -> dict:
    name, prefix = _text(block, 0, 100, "name"), _text(block, 345, 155, "prefix")
    if prefix.endswith(b"/") or (prefix and not name):
        raise Refused("a header has a prefix that is none")
    name = extension.get(b"path", prefix + b"/" + name if prefix else name)
    link = extension.get(b"linkpath", _text(block, 157, 100, "link"))
    owner = (_text(block, 265, 32, "user"), _text(block, 297, 32, "group"))
    for text in (name, link, *owner):
        if not _PRINTABLE.fullmatch(text) or len(text) > _LONGEST_PATH:
            raise Refused(f"the name {shown(text)} is too long, or not in printable ASCII")
    if kind == _DIRECTORY:
        name = name.removesuffix(b"/")
    if not name or name.endswith(b"/"):
        raise Refused(f"the name {shown(name)} is none for what it names")
    if bool(link) != (kind in (_HARD_LINK, _SYMLINK)):
        raise Refused(f"{shown(name)} has a link's target and is none, or the other way around")
    if size and kind != _FILE:
        raise Refused(f"{shown(name)} has a body, and is no file")
    mode = _number(block, 100, 8, "mode")
    if mode > 0o7777:
        raise Refused(f"{shown(name)} has the mode {mode:o}")
    mtime = extension.get(b"mtime", b"%d" % _number(block, 136, 12, "time"))
    more = {key: value for key, value in extension.items() if key.startswith(_ATTRIBUTES)}
    return {
        "name": name.decode(),
        "type": kind.decode(),
        "mode": mode,
        "size": size,
        "link": link.decode(),
        "uid": _number(block, 108, 8, "uid"),
        "gid": _number(block, 116, 8, "gid"),
        "uname": owner[0].decode(),
        "gname": owner[1].decode(),
        "mtime": int(mtime.partition(b".")[0]),
        "attributes": {key.decode(): value.decode(errors="surrogateescape") for key, value in more.items()},
    }


def _check(block: bytes) -> bytes:
    """The type of a header that is one."""
    blank = block[:148] + b" " * 8 + block[156:]
    if _number(block, 148, 8, "checksum") != sum(blank):
        raise Refused("the checksum of a header is wrong")
    if block[257:265] != b"ustar\x0000":
        raise Refused("a header is not ustar's")
    # The numbers of devices, of which there are none, and what is behind the last field.
    if (block[329:345].strip(b"0 \0")) or block[500:].strip(b"\0"):
        raise Refused("a header has something where nothing should be")
    kind = block[156:157]
    if kind not in (_FILE, _HARD_LINK, _SYMLINK, _DIRECTORY, _EXTENSION):
        raise Refused(f"a header has the type {shown(kind)}: neither file, directory nor link")
    return kind


def _number(block: bytes, place: int, length: int, what: str) -> int:
    match = _NUMBER.fullmatch(block[place : place + length])
    if match is None:
        raise Refused(f"the {what} in a header is no octal number")
    return int(match[1], 8)


def _text(block: bytes, place: int, length: int, what: str) -> bytes:
    text, _, rest = block[place : place + length].partition(b"\0")
    if any(rest):
        raise Refused(f"the {what} in a header goes on after its end")
    return text


def _skip_padding(stream: Unpacked, size: int) -> None:
    if stream.read(-size % _BLOCK).strip(b"\0"):
        raise Refused("something other than zeros fills up a block")


def _check_end(stream: Unpacked) -> None:
    # The first block of zeros was read already, and no end has less than two.
    rest = stream.read(_BLOCK) + stream.pipe.read(_PADDING)
    if rest.strip(b"\0") or stream.pipe.read(1):
        raise Refused("something comes after the end of its archive")
    stream.finish()
