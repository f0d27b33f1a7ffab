"""Hostile archives, each by what is wrong with it: made header by header, since no program would write them."""

from __future__ import annotations

import gzip
import lzma
import struct
import subprocess
from collections.abc import Iterator

_FIELDS = {
    "name": (0, 100),
    "mode": (100, 8),
    "uid": (108, 8),
    "gid": (116, 8),
    "size": (124, 12),
    "mtime": (136, 12),
    "checksum": (148, 8),
    "type": (156, 1),
    "link": (157, 100),
    "magic": (257, 8),
    "uname": (265, 32),
    "gname": (297, 32),
    "devmajor": (329, 8),
    "devminor": (337, 8),
    "prefix": (345, 155),
    "rest": (500, 12),
}

INFO = b"pkgname = hostile\npkgbase = hostile\npkgver = 1-1\nsize = 1\narch = x86_64\n"
END = bytes(1024)


def with_checksum(header: bytes) -> bytes:
    """A header whose checksum is right."""
    blank = header[:148] + b" " * 8 + header[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def member(name: bytes = b"share/x", body: bytes = b"", kind: bytes = b"0", **fields: bytes) -> bytes:
    """A member as makepkg writes it, but for the fields given."""
    values = {
        "name": name,
        "mode": b"000755 \0" if kind == b"5" else b"000644 \0",
        "uid": b"000000 \0",
        "gid": b"000000 \0",
        "size": b"%011o " % len(body),
        "mtime": b"14544463000 ",
        "type": kind,
        "magic": b"ustar\x0000",
        "uname": b"root",
        "gname": b"root",
        "devmajor": b"000000 \0",
        "devminor": b"000000 \0",
    } | fields
    header = bytearray(512)
    for field, value in values.items():
        place, length = _FIELDS[field]
        header[place : place + length] = value[:length].ljust(length, b"\0")
    made = bytes(header) if "checksum" in fields else with_checksum(bytes(header))
    return made + body + bytes(-len(body) % 512)


def record(key: bytes, value: bytes) -> bytes:
    """A record of a pax header."""
    length = len(key) + len(value) + 3
    while length != len(key) + len(value) + 3 + len(str(length)):
        length = len(key) + len(value) + 3 + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def extended(records: bytes, *after: bytes) -> bytes:
    """A pax header before a member, which is a plain file unless another is given."""
    return member(b"PaxHeader/x", records, b"x") + b"".join(after or (member(),))


ABOUT = member(b".PKGINFO", INFO)
SU = member(b"bin/su", b"a program", mode=b"004755 \0")
GOOD = (
    ABOUT
    + member(b"bin/", kind=b"5")
    + member(b"bin/one", b"one" * 500, mode=b"000755 \0")
    + member(b"bin/two", kind=b"1", link=b"bin/one", mode=b"000755 \0")
    + member(b"bin/three", kind=b"2", link=b"one", mode=b"000777 \0")
    + extended(record(b"path", b"share/" + b"long/" * 40 + b"file") + record(b"mtime", b"1.5"), member(body=b"text"))
)


def pack(archive: bytes, *options: str) -> bytes:
    """Packed by zstd."""
    return subprocess.run(["zstd", "-cq", *options], input=archive, capture_output=True, check=True).stdout


def _zeros(archive: bytes, blocks: int) -> bytes:
    """One frame of zstd: an archive, and so many times 128 KiB of zeros, in four bytes each."""
    raw = struct.pack("<I", len(archive) << 3)[:3] + archive
    repeated = [struct.pack("<I", (128 << 10) << 3 | 2 | last)[:3] + b"\0" for last in (0, 1)]
    return b"\x28\xb5\x2f\xfd\x00\x58" + raw + repeated[0] * (blocks - 1) + repeated[1]


def _headers() -> Iterator[tuple[str, bytes]]:
    """Headers with one field that is wrong; behind some of them, what only a reader that goes on would see."""
    letters = {"mode": b"rwxr-xr", "uid": b"root", "gid": b"root", "size": b"large", "mtime": b"now"}
    for field, value in (letters | {"devmajor": b"abcdefg", "devminor": b"abcdefg"}).items():
        yield f"letters in {field}", member(**{field: value}) + SU
    for field in ("mode", "uid", "gid", "size", "mtime"):
        yield f"{field} in base 256", member(**{field: b"\x80".ljust(_FIELDS[field][1], b"\0")}) + SU
        yield f"{field} negative", member(**{field: b"-1"}) + SU
        yield f"{field} empty", member(**{field: b""}) + SU
        yield f"{field} without an end", member(**{field: b"0" * 12}) + SU
        yield f"{field} after blanks", member(**{field: b"  0 "}) + SU
    yield "wrong checksum", member(checksum=b"000001\0 ") + SU
    yield "no checksum", member(checksum=b"        ") + SU
    signed = bytearray(member("ä".encode()))
    total = sum(byte - 256 if byte > 127 else byte for byte in signed[:148] + b" " * 8 + signed[156:512])
    yield "signed checksum", bytes(signed[:148]) + b"%06o\0 " % total + bytes(signed[156:]) + SU
    yield "no magic", member(magic=b"") + SU
    yield "magic of GNU", member(magic=b"ustar  \0") + SU
    yield "another version", member(magic=b"ustar\x0001") + SU
    yield "type of a file in the mode", member(mode=b"0104755\0")
    yield "a number of a device", member(devmajor=b"000010 \0")
    yield "name behind the name", member(b"bin/x\0/../su")
    yield "prefix with a slash", member(b"x", prefix=b"bin/")
    yield "prefix only", member(b"", prefix=b"bin")
    yield "no name", member(b"")
    yield "more behind the last field", member(rest=b"more")
    yield "user that is no ASCII", member(uname=b"r\xc3\xb6\xc3\xb6t")
    yield "body filled up with text", member(body=b"x").rstrip(b"\0").ljust(1024, b"!")
    yield "one block of zeros between", bytes(512) + SU
    for kind in b"\0 3 4 6 7 9 A D E I K L M N S V X Z g".split(b" "):
        yield f"type {kind.decode()!a}", member(kind=kind or b"\0", body=b"share/y\0") + member(b"share/z") + SU


def _links() -> Iterator[tuple[str, bytes]]:
    hidden = member(b"share/y") + END
    one = member(b"bin/one", b"one")
    yield "hard link with a body", one + member(b"bin/x", hidden, b"1", link=b"bin/one") + SU
    yield (
        "hard link with a body, in pax",
        one + extended(record(b"mtime", b"1"), member(b"bin/x", hidden, b"1", link=b"bin/one"), SU),
    )
    yield "link with a body", member(b"bin/x", hidden, b"2", link=b"y") + SU
    yield "directory with a body", member(b"bin/", hidden, b"5") + SU
    yield "hard link to nothing", member(b"bin/x", kind=b"1", link=b"bin/y")
    yield "hard link to what comes later", member(b"bin/x", kind=b"1", link=b"bin/y") + member(b"bin/y")
    yield "hard link to itself", member(b"bin/x", kind=b"1", link=b"bin/x")
    yield "hard link to the host", member(b"bin/x", kind=b"1", link=b"/etc/passwd")
    yield "hard link out of the root", member(b"bin/x", kind=b"1", link=b"../../etc/passwd")
    yield "hard link to a directory", member(b"bin/", kind=b"5") + member(b"bin/x", kind=b"1", link=b"bin/")
    yield "hard link to a link", member(b"bin/y", kind=b"2", link=b"z") + member(b"bin/x", kind=b"1", link=b"bin/y")
    yield "hard link to the description", member(b"bin/x", kind=b"1", link=b".PKGINFO")
    yield "hard link with other rights", one + member(b"bin/x", kind=b"1", link=b"bin/one", mode=b"004755 \0")
    yield "hard link by another name", one + member(b"bin/x", kind=b"1", link=b"bin/./one")
    yield "link to nothing", member(b"bin/x", kind=b"2")
    yield "file with a target", member(b"bin/x", link=b"bin/y")
    yield "file below a link", member(b"lib/a", kind=b"2", link=b"/etc") + member(b"lib/a/passwd")
    yield "file below a link that comes later", member(b"lib/a/passwd") + member(b"lib/a", kind=b"2", link=b"/etc")
    yield "file below a file", member(b"lib/a") + member(b"lib/a/b")
    yield "link in the place of bin", member(b"bin", kind=b"2", link=b"/tmp")
    yield "usr leads elsewhere", member(b"usr", kind=b"2", link=b"/mere")
    yield "file below usr", member(b"usr/bin/x")
    yield "file below var/run", member(b"var/run/x")


def _extensions() -> Iterator[tuple[str, bytes]]:
    for text in ("size=3", "uid=0", "gid=0", "uname=root", "hdrcharset=BINARY", "comment=x", "GNU.sparse.map=0,3",
                 "GNU.sparse.major=1", "GNU.sparse.name=bin/su", "SCHILY.realsize=9", "SCHILY.dev=1", "mtime=nan",
                 "mtime=-1", "mtime=1e99", "mtime=99999999999999999999", "atime=", "path=", "path=share/ä",
                 "linkpath=y", "path=share/x/", "path=share/\n", "path=share/\x1b]52;c;eA==\x07", "path=share/x\0y",
                 "path=../x", "path=/etc/x", "RHT.security.selinux=x", "SCHILY.xattr.security.capability=x",
                 "SCHILY.fflags=suid", "LIBARCHIVE.xattr.user.x=eA==",
                 "SCHILY.acl.access=user::rwx", "VENDOR.key=x"):  # fmt: skip
        key, _, value = text.partition("=")
        yield f"pax {text!a}", extended(record(key.encode(), value.encode())) + member(b"share/z")
    path = record(b"path", b"bin/su")
    yield "pax with two paths", extended(record(b"path", b"share/y") + path)
    yield "pax with a name that is too long", extended(record(b"path", b"share/" + b"x" * 5000))
    for what, records in (
        ("a length that is too short", b"5 path=bin/su\n"),
        ("a length that is too long", b"99 path=bin/su\n"),
        ("a length of 0", b"0 path=bin/su\n"),
        ("a length with zeros", b"016 path=bin/su\n"),
        ("a length that is huge", b"9" * 5000 + b" path=bin/su\n"),
        ("no length", b"path=bin/su\n"),
        ("no end of line", path[:-1] + b" "),
        ("no sign", b"14 path bin/su\n"),
        ("no key", b"11 =bin/su\n"),
        ("zeros behind", path + bytes(9)),
        ("nothing", b""),
        ("100 KiB", record(b"SCHILY.xattr.user.x", b"x" * 100_000)),
    ):
        yield f"pax with {what}", extended(records) + SU
    yield "two pax headers", member(b"x", path, b"x") + extended(record(b"path", b"share/y"))
    yield "pax header at the end", member(b"x", path, b"x")
    yield "pax header of 2 GiB", member(b"x", kind=b"x", size=b"%011o " % (2 << 30))
    yield "pax header for all", member(b"x", path, b"g") + member()
    yield "long name of GNU", member(b"././@LongLink", b"bin/su\0", b"L") + member()
    sparse = b"1\n0\n3\n".ljust(512, b"\0") + b"abc"
    keys = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0") + record(b"GNU.sparse.realsize", b"9")
    yield "sparse file of GNU 1.0", extended(keys, member(body=sparse))


def _names() -> Iterator[tuple[str, bytes]]:
    for name in ("./bin/x", "bin//x", "bin/./x", "bin/../../x", "../x", "..", ".", "/etc/x", "/", "bin/x/", "bin/\nx",
                 "é", "bin/\x7f", "nonexistent", "mere/x", "mere/share/libalpm/hooks/x.hook",
                 "share/libalpm/hooks/x.hook", "etc/pacman.d/hooks/x.hook", "lib/x.hook",
                 "var/lib/pacman/local/x-1/desc", "var/lib",
                 "etc/ld.so.conf", ".INSTALL", ".CHANGELOG", ".EVIL", ".profile", "proc/x", "dev/null", "root/.profile",
                 "tmp/x", "lib64/x", "sbin/x", "bin", ".MTREE"):  # fmt: skip
        yield f"name {name!a}", member(name.encode())
    yield "name that is no UTF-8", member(b"bin/\xff")
    yield "one name twice", member(b"bin/x", b"1") + member(b"bin/x", b"2")
    yield "one name, file and link", member(b"bin/x", b"1") + member(b"bin/x", kind=b"2", link=b"y")
    yield "one name, with and without a dot", member(b"bin/x", b"1") + member(b"./bin/x", b"2")
    yield "one name, file and directory", member(b"share/x", b"1") + member(b"share/x/", kind=b"5")
    yield "one name in pax and header", member(b"bin/x") + extended(record(b"path", b"bin/x"), member(b"bin/y"))
    yield "two names that differ in case", member(b"bin/x", b"1") + member(b"bin/X", b"2")
    yield "two names that look alike", member("bin/é".encode(), b"1") + member(b"bin/e\xcc\x81", b"2")
    yield "two descriptions", member(b".PKGINFO", INFO)
    yield "set-user-id", SU
    yield "set-group-id", member(b"bin/x", mode=b"002755 \0")
    yield "set-group-id of a directory", member(b"bin/", kind=b"5", mode=b"002755 \0")
    yield "owner", member(b"bin/x", uid=b"001750 \0")
    yield "group", member(b"bin/x", gid=b"001750 \0")
    yield "a file that mentions a path", member(b"bin/x", b"/mere/bin/sh")


def _sizes() -> Iterator[tuple[str, bytes]]:
    yield "a file of 8 GiB", member(size=b"77777777777 ")
    yield "a description of 2 MiB", member(b".BUILDINFO", b"x" * (2 << 20))
    yield "a listing of 64 MiB", member(b".MTREE", gzip.compress(bytes(1 << 26)))
    yield "a listing that is not packed", member(b".MTREE", b"#mtree\n")
    yield "a listing packed twice over", member(b".MTREE", gzip.compress(b"#mtree\n") + gzip.compress(b"more"))
    yield "a listing that is cut off", member(b".MTREE", gzip.compress(b"#mtree\n" * 99)[:-9])
    yield "100,001 members", b"".join(member(b"share/%d" % number) for number in range(100_001))
    long = b"share/" + b"x/" * 2000
    yield "40 MB of names", b"".join(extended(record(b"path", long + b"%d" % number)) for number in range(10_000))


def archives() -> Iterator[tuple[str, bytes]]:
    """Name and package file of each."""
    for made in (_headers(), _links(), _extensions(), _names(), _sizes()):
        for what, part in made:
            yield what, pack(ABOUT + part + END)
    good = GOOD + END
    packed = pack(good)
    skipped = b"\x50\x2a\x4d\x18\x04\0\0\0more"
    yield "as it should be", packed
    yield "with more zeros", pack(good + bytes(10_240))
    yield "with one block of zeros", pack(GOOD + bytes(512))
    yield "without an end", pack(GOOD)
    yield "something after the end", pack(good + SU)
    yield "another archive after the end", pack(good + ABOUT + SU + END)
    yield "something far after the end", pack(good + bytes(100_000) + b"x")
    yield "two archives, packed each", packed + pack(SU + END)
    yield "two frames", pack(good[:2048]) + pack(good[2048:])
    yield "a skipped frame before", skipped + packed
    yield "a skipped frame behind", packed + skipped
    yield "something behind the frame", packed + b"more"
    yield "zeros behind the frame", packed + bytes(512)
    yield "no checksum of the frame", pack(good, "--no-check")
    yield "another level", pack(good, "-19")
    yield "wrong checksum of the frame", packed[:-1] + bytes([packed[-1] ^ 1])
    yield "cut off", packed[:-10]
    yield "cut off in a header", pack(GOOD[:700])
    yield "cut off in a body", pack(ABOUT + member(b"bin/x", b"x" * 5000)[:2000])
    yield "frame with a dictionary", packed[:4] + bytes([packed[4] | 1]) + packed[5:]
    yield "frame with an unknown flag", packed[:4] + bytes([packed[4] | 8]) + packed[5:]
    yield "frame with an unknown block", b"\x28\xb5\x2f\xfd\x00\x58\x07\0\0"
    yield "frame of empty blocks", b"\x28\xb5\x2f\xfd\x00\x58" + bytes(3_000_000)
    yield "frame with a window of 2 GiB", packed[:4] + b"\x04\xa8" + b"\x01\0\0" + packed[-4:]
    yield "only the magic of zstd", packed[:4]
    yield "packed by xz", lzma.compress(good)
    yield "packed by gzip", gzip.compress(good)
    yield "not packed", good
    yield "an archive of cpio", pack(b"070701" + b"0" * 104)
    yield "an archive of ar", pack(b"!<arch>\nx/              0           0     0     644     1         `\nx\n")
    yield "a listing for bsdtar", pack(b"#mtree\n./bin/su mode=4755 type=file\n")
    yield "a page", b"<html>"
    yield "nothing", b""
    yield "nothing, packed", pack(b"")
    yield "6 GiB of zeros behind the end", _zeros(good, 48 << 10)
    yield "6 GiB in one file", _zeros(ABOUT + member(size=b"60000000000 "), 48 << 10)
