"""Finished package files, looked at from outside: what they say about themselves and what they install."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import PackageError
from ..store.archive import DIRECTORY, read_archive

#: Ending of every package file.
SUFFIX = ".pkg.tar.zst"

#: What may be in a line of the files that describe a package: two readers may end a line or a text elsewhere.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def package_name(file: str) -> str:
    """The package in a file's name: NAME-VERSION-RELEASE-ARCHITECTURE.pkg.tar.zst, where only NAME has more dashes."""
    return file.rsplit("-", 3)[0]


def package_info(file: Path) -> dict[str, list[str]]:
    """What a package says about itself: its ``.PKGINFO``, the values of each name in order.

    Raises
    ------
    PackageError
        It is not a package.
    """
    return _fields(file, ".PKGINFO")


def build_info(file: Path) -> dict[str, list[str]]:
    """What a package says about its build: its ``.BUILDINFO``, as `package_info`."""
    return _fields(file, ".BUILDINFO")


def package_contents(file: Path) -> list[str]:
    """The names of everything that the package installs; directories end with a slash. Raises as `package_info`."""
    members = (member for member in read_archive(file).members.values() if installed(member.name))
    return [f"{member.name}/" if member.type == DIRECTORY else member.name for member in members]


def installed(name: str) -> bool:
    """Names with a dot in front, at the top, are about the package."""
    return not re.fullmatch(r"\.[A-Z]+", name)


def parse_fields(text: str) -> dict[str, list[str]]:
    """The values of each name in the text of a ``.PKGINFO`` or ``.BUILDINFO``, a character for each byte.

    Control characters are a PackageError.
    """
    if found := _CONTROL.search(text):
        raise PackageError(f"the description of a package has the control character {found[0]!r}")
    fields: dict[str, list[str]] = {}
    for line in text.encode("latin-1").decode(errors="replace").split("\n"):
        # As pacman reads it: blanks around the sign do not matter.
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            fields.setdefault(name.strip(), []).append(value.strip())
    return fields


def _fields(file: Path, name: str) -> dict[str, list[str]]:
    # It is near the front, and most of a package lies behind it.
    texts = read_archive(file, front=name).texts
    if name not in texts:
        raise PackageError(f"{file.name} has no {name}")
    return parse_fields(texts[name])
