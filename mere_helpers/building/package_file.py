"""Finished package files, looked at from outside: what they say about themselves, what they hold, what is wrong."""

from __future__ import annotations

import re
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from ..errors import BuildError

#: Ending of every package file.
SUFFIX = ".pkg.tar.zst"

#: One hierarchy: these are links of base-layout, and nothing is installed through a link.
_LINKS = ("usr", "lib64", "sbin")

#: Headers that give a member more than owner and permissions; a file capability is an extended attribute.
_ATTRIBUTES = ("SCHILY.xattr.", "LIBARCHIVE.xattr.", "SCHILY.acl.", "SCHILY.fflags")

#: A host with SELinux gives one to every file, whatever is built.
_LABEL = ".xattr.security.selinux"

_CHUNK = 1 << 20


def package_name(file: str) -> str:
    """The package in a file's name: NAME-VERSION-RELEASE-ARCHITECTURE.pkg.tar.zst, where only NAME has more dashes."""
    return file.rsplit("-", 3)[0]


def package_info(file: Path) -> dict[str, list[str]]:
    """What a package says about itself: its ``.PKGINFO``, the values of each name in order.

    Raises
    ------
    BuildError
        It is not a package.
    """
    return _fields(file, ".PKGINFO")


def build_info(file: Path) -> dict[str, list[str]]:
    """What a package says about its build: its ``.BUILDINFO``, as `package_info`."""
    return _fields(file, ".BUILDINFO")


def _fields(file: Path, name: str) -> dict[str, list[str]]:
    # It is near the front, and most of a package lies behind it.
    with opened(file, whole=False) as archive:
        for member in archive:
            if member.name == name and member.isreg():
                data = archive.extractfile(member)
                return _parse(data.read().decode(errors="replace") if data else "")
    raise BuildError(f"{file.name} has no {name}")


def package_contents(file: Path) -> list[str]:
    """The names of everything that the package installs; folders end with a slash.

    Raises
    ------
    BuildError
        It is not a package.
    """
    with opened(file) as archive:
        return [f"{member.name}/" if member.isdir() else member.name for member in archive if _installed(member)]


def problems(
    file: Path, forbidden: Iterable[str], *, setuid: Iterable[str] = (), mentions: Iterable[str] = ()
) -> list[str]:
    """What is wrong with a package, a line for each; nothing if all is well.

    Parameters
    ----------
    file : Path
        The package.
    forbidden : iterable of str
        Paths of the build that no file or link may mention.
    setuid, mentions : iterable of str
        Patterns of files that may change the user, or may mention a forbidden path.

    Raises
    ------
    BuildError
        It is not a package, or has two members of one name.
    """
    needles = [text.encode() for text in forbidden]
    found = []
    with opened(file) as archive:
        for member in members(archive):
            if not _installed(member):
                continue
            name = member.name
            first = name.partition("/")[0]
            if first in _LINKS and not (member.issym() and name == first):
                found.append(f"{name}: nothing may be installed in {first}/")
            if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
                found.append(f"{name}: neither file, folder nor link")
            if {"", ".", ".."}.intersection(name.split("/")):
                found.append(f"{name}: not a plain path below the root")
            if member.uid or member.gid:
                found.append(f"{name}: belongs to {member.uid}:{member.gid}, not to root")
            if member.isreg() and member.mode & (stat.S_ISUID | stat.S_ISGID) and not _matches(name, setuid):
                found.append(f"{name}: changes the user or group (mode {member.mode:04o})")
            found += [f"{name}: has the attribute {attribute}" for attribute in attributes(member)]
            if not _matches(name, mentions):
                found += [f"{name}: mentions {text}" for text in _mentioned(archive, member, needles)]
    return found


def _mentioned(archive: tarfile.TarFile, member: tarfile.TarInfo, needles: list[bytes]) -> list[str]:
    hits = {needle for needle in needles if needle in member.linkname.encode(errors="surrogateescape")}
    data = archive.extractfile(member) if member.isreg() else None
    if data is not None:
        # Each piece is looked at together with the end of the last: a text may lie across the border.
        overlap = max(map(len, needles), default=1)
        piece = b""
        while more := data.read(_CHUNK):
            piece = piece[-overlap:] + more
            hits.update(needle for needle in needles if needle in piece)
    return [needle.decode(errors="replace") for needle in sorted(hits)]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _installed(member: tarfile.TarInfo) -> bool:
    """Names with a dot in front, at the top, are about the package."""
    return not re.fullmatch(r"\.[A-Z]+", member.name)


def _parse(text: str) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for line in text.splitlines():
        # As pacman reads it: blanks around the sign do not matter.
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            fields.setdefault(name.strip(), []).append(value.strip())
    return fields


@contextmanager
def opened(file: Path, *, whole: bool = True) -> Iterator[tarfile.TarFile]:
    """The package as an archive that can be read once, from front to end.

    Parameters
    ----------
    file : Path
        The package.
    whole : bool, optional
        Unpack it to its end, however far the archive was read, and see that nothing is cut off.

    Raises
    ------
    BuildError
        It is not a package.
    """
    with subprocess.Popen(["zstd", "-dcq", "--", file], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as unpacking:
        assert unpacking.stdout is not None
        try:
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
                yield archive
            if whole:
                # Where the cut is between two members, the archive looks like a shorter one: only zstd knows.
                while unpacking.stdout.read(_CHUNK):
                    pass
                if unpacking.wait():
                    raise BuildError(f"{file.name} is not a package: zstd cannot unpack it to its end")
        except tarfile.TarError as error:
            raise BuildError(f"{file.name} is not a package: {error}") from error
        finally:
            unpacking.stdout.close()
            unpacking.kill()


def members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """All members of a package, from front to end.

    Raises
    ------
    BuildError
        Two have the same name, so that it depends on the reader which of them counts.
    """
    seen = set()
    for member in archive:
        if member.name in seen:
            raise BuildError(f"{member.name} is in the package twice")
        seen.add(member.name)
        yield member


def attributes(member: tarfile.TarInfo) -> dict[str, str]:
    """Extended attributes, access control lists and flags of a member, by the names of their headers."""
    headers = member.pax_headers.items()
    return {name: value for name, value in headers if name.startswith(_ATTRIBUTES) and not name.endswith(_LABEL)}


