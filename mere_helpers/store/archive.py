"""What is in a package file: read strictly, and by a program of its own with limits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import PackageError

#: It gets neither the paths nor the settings of this Python, and imports nothing of ours.
_READER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("archive_reader.py")))

#: Seconds; the largest package takes a few.
_PATIENCE = 600

#: What types are called in headers.
FILE, HARD_LINK, SYMLINK, DIRECTORY = "0", "1", "2", "5"


@dataclass(frozen=True)
class Member:
    """One member of a package: its header, the sha256 of a file, and which texts are in its content or link.

    Names are as in the archive, in printable ASCII, those of directories without the slash at the end. The link of a
    hard link is the name of a file that comes before it; `mtime` is in whole seconds since 1970; `attributes` are
    extended attributes, access control lists and flags, by the names of their headers.
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
    """A package file that was read: its members by name, in their order, and its texts, a character for each byte.

    The texts are ``.PKGINFO``, ``.BUILDINFO`` and ``.MTREE`` (unpacked), as far as they are there.
    """

    members: dict[str, Member]
    texts: dict[str, str]


def inventory(file: Path) -> dict[str, Member]:
    """All members of a package by name, in the order of the archive; raises as `read_archive`."""
    return read_archive(file).members


def read_archive(file: Path, needles: Iterable[str] = (), *, front: str = "") -> Archive:
    """Read a package file; look for the needles in contents and links."""
    request = json.dumps({"front": front, "needles": list(needles)})
    try:
        with open(file, "rb") as source:
            result = subprocess.run([*_READER, request], stdin=source, capture_output=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise PackageError(f"{file.name} is not a package: reading it takes more than {_PATIENCE} seconds") from None
    except OSError as error:
        raise PackageError(f"cannot read {file.name}: {error.strerror}") from error
    if result.returncode:
        last = result.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        why = f"reading it ended with status {result.returncode}, after its limits or for a fault: {last}"
        raise PackageError(f"{file.name} is not a package: {why}")
    answer = json.loads(result.stdout)
    if "refused" in answer:
        raise PackageError(f"{file.name} is not a package: {answer['refused']}")
    members = (Member(**{**about, "mentions": tuple(about["mentions"])}) for about in answer["members"])
    return Archive({member.name: member for member in members}, answer["texts"])
