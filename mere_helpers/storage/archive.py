"""What is in a package file: read strictly, and by a program of its own with limits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import BuildError

#: It gets neither the paths nor the settings of this Python, and imports nothing of ours.
_READER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("archive_reader")))

#: Seconds; the largest package takes a few.
_PATIENCE = 600

#: What types are called in headers.
FILE, HARD_LINK, SYMLINK, DIRECTORY = "0", "1", "2", "5"


@dataclass(frozen=True)
class Member:
    """One member of a package.

    Attributes
    ----------
    name : str
        As in the archive, without the slash at the end of a directory; printable ASCII.
    type : str
        `FILE`, `HARD_LINK`, `SYMLINK` or `DIRECTORY`; there are no others.
    mode : int
        Permissions and the set-user-id, set-group-id and sticky bits.
    size : int
        Bytes; 0 of all but files.
    link : str
        What a link leads to; of a hard link the name of a file that comes before it. Otherwise empty.
    uid, gid, uname, gname : int, int, str, str
        The owner.
    mtime : int
        Whole seconds since 1970.
    attributes : mapping of str to str
        Extended attributes, access control lists and flags, by the names of their headers.
    sha256 : str
        Of a file's content; otherwise empty.
    mentions : tuple of str
        Which of the texts that were looked for are in its content or link.
    """

    name: str
    type: str
    mode: int
    size: int
    link: str
    uid: int
    gid: int
    uname: str
    gname: str
    mtime: int
    attributes: Mapping[str, str]
    sha256: str = ""
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Archive:
    """A package file that was read.

    Attributes
    ----------
    members : dict of str to Member
        By name, in the order of the archive.
    texts : dict of str to str
        The contents of ``.PKGINFO``, ``.BUILDINFO`` and ``.MTREE`` (unpacked), as far as they are there; a character
        for each byte.
    """

    members: dict[str, Member]
    texts: dict[str, str]


def inventory(file: Path) -> dict[str, Member]:
    """All members of a package by name, in the order of the archive; raises as `read_archive`."""
    return read_archive(file).members


def read_archive(file: Path, needles: Iterable[str] = (), *, front: str = "") -> Archive:
    """Read a package file.

    Parameters
    ----------
    file : Path
        The package.
    needles : iterable of str, optional
        Texts to look for in contents and links.
    front : str, optional
        Read no further than to the text of this name, one of those of `Archive`. What comes after it is not looked at.

    Raises
    ------
    BuildError
        It is not a package as makepkg writes them, has two members of one name, is larger than a package may be, or
        reading it took too much time or memory.
    """
    request = json.dumps({"front": front, "needles": list(needles)})
    try:
        with open(file, "rb") as source:
            answer = _ask(source, request)
    except OSError as error:
        raise BuildError(f"cannot read {file.name}: {error.strerror}") from error
    except ValueError as error:
        raise BuildError(f"{file.name} is not a package: {error}") from error
    members = (Member(**{**about, "mentions": tuple(about["mentions"])}) for about in answer["members"])
    return Archive({member.name: member for member in members}, answer["texts"])


def _ask(source: BinaryIO, request: str) -> dict:
    """What the reader answers; ValueError says why there is nothing."""
    try:
        result = subprocess.run([*_READER, request], stdin=source, capture_output=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise ValueError(f"reading it takes more than {_PATIENCE} seconds") from None
    if result.returncode:
        last = result.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ValueError(f"reading it ended with status {result.returncode}, after its limits or for a fault: {last}")
    answer = json.loads(result.stdout)
    if "refused" in answer:
        raise ValueError(answer["refused"])
    return answer
