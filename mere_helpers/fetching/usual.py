"""What the usual packages bring: the commands in Debian's packages, which are read as data and never installed.

A book cannot look into another distribution each time it is read: mirrors move on. So the result is kept in a file,
with the version and the sha256 of every package it was read from, and there is a command that makes it again.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tarfile
import tempfile
import textwrap
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from ..config import Config
from ..errors import RecipeError, SourceError
from .apt_output import DebianFile, parse_uris
from .debian import DebianMirror

#: What busybox stands in for: names of source packages.
SUBJECTS = (
    *("bzip2", "coreutils", "diffutils", "findutils", "gawk", "grep", "gzip"),
    *("inetutils", "iproute2", "kbd", "sed", "sysklogd", "tar", "util-linux"),
)

#: The release of Debian that is looked at.
SUITE = "trixie"

_FILE = "book/usual-packages.toml"

_HEAD = f"""\
# The commands that usual packages bring, read from those of Debian ({SUITE}); sizes are in bytes, of files.
# Written by `python -m mere_helpers usual --update`; without --update it says what is different today.
"""

#: The release has no sysklogd. Its nearest relative there, the syslogd of inetutils, is counted as it, and only as it.
_COUNTED_AS = {"inetutils-syslogd": "sysklogd"}

#: Sections of packages that bring no commands.
_LEFT_OUT = ("doc", "libdevel", "libs", "localization")

#: Debian's marks on commands which it has several of: inetutils-telnet, locate.findutils, rename.ul, rmt-tar.
_MARK = re.compile(r"^(?:inetutils|tar)-|-tar$|\.(?:findutils|sh|ul)$")

#: Links that upstream installs; Debian makes them when the package is set up, so that they are not in it.
_LINKS = {"gawk": ("awk",)}

_COMMAND = re.compile(r"\./(?:usr/)?s?bin/([^/]+)")


@dataclass(frozen=True)
class UsualPackage:
    """A package of Debian that brings commands.

    Attributes
    ----------
    subject : str
        The source package it is made from, one of `SUBJECTS`.
    name, version, sha256 : str
        Which package it is.
    installed : int
        Bytes of all its files.
    programs : int
        Bytes of its files in ``bin`` and ``sbin``.
    commands : tuple of str
        Their names, sorted, without the marks that Debian puts on some.
    """

    subject: str
    name: str
    version: str
    sha256: str
    installed: int
    programs: int
    commands: tuple[str, ...]


def recorded(config: Config) -> tuple[UsualPackage, ...]:
    """What ``book/usual-packages.toml`` says.

    Raises
    ------
    RecipeError
        It cannot be read.
    """
    try:
        stanzas = tomllib.loads((config.checkout / _FILE).read_text())["package"]
        return tuple(UsualPackage(**stanza | {"commands": tuple(stanza["commands"])}) for stanza in stanzas)
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise RecipeError(f"cannot read {_FILE}: {error}", hint=f"git checkout {_FILE}") from None


def found(config: Config) -> tuple[UsualPackage, ...]:
    """The same, from Debian's archive of today: a few megabytes are fetched, verified, read and forgotten.

    Raises
    ------
    SourceError
        Debian cannot be asked, or hands out something else than its index promises.
    """
    mirror = DebianMirror(config, kind="deb", suites=(SUITE,))
    subjects = _subjects(mirror.ask("apt-cache", "dumpavail"))
    printed = mirror.ask("apt-get", "-qq", "download", "--print-uris", *(f"{name}={v}" for name, v in subjects))
    files = {file.name.partition("_")[0]: file for file in parse_uris(printed)}
    packages = []
    with tempfile.TemporaryDirectory() as folder:
        for (name, version), subject in subjects.items():
            if name not in files:
                raise SourceError(f"Debian's index names {name}, and no file for it")
            path = _fetch(mirror, files[name], Path(folder, name))
            installed, programs, commands = _read(path)
            names = sorted({_MARK.sub("", command) for command in commands}.union(_LINKS.get(name, ())))
            if commands:
                sizes = (installed, programs)
                packages.append(UsualPackage(subject, name, version, files[name].sha256, *sizes, tuple(names)))
    return tuple(sorted(packages, key=lambda package: (package.subject, package.name)))


def changes(before: Sequence[UsualPackage], now: Sequence[UsualPackage]) -> list[str]:
    """What differs, a line for each package; nothing if all is the same."""
    old, new = ({package.name: package for package in packages} for packages in (before, now))
    lines = []
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            lines.append(f"{name}: only in {'the archive' if name in new else 'the file'}")
        elif old[name] != new[name]:
            which = [field.name for field in fields(UsualPackage)]
            different = [field for field in which if getattr(old[name], field) != getattr(new[name], field)]
            lines.append(f"{name} {old[name].version}, now {new[name].version}: another {', '.join(different)}")
    return lines


def update(config: Config, packages: Sequence[UsualPackage]) -> None:
    """Write ``book/usual-packages.toml`` anew."""
    path = config.checkout / _FILE
    aside = path.with_suffix(".new")
    aside.write_text(_HEAD + "".join(map(_stanza, packages)))
    aside.replace(path)


def _subjects(index: str) -> dict[tuple[str, str], str]:
    """Name and version of every package that may bring commands, with its subject."""
    subjects = {}
    for stanza in index.split("\n\n"):
        field = dict(re.findall(r"^(Package|Version|Source|Section|Architecture): (\S+)", stanza, re.MULTILINE))
        name = field.get("Package", "")
        subject = _COUNTED_AS.get(name, field.get("Source", name))
        if subject in SUBJECTS and field["Section"] not in _LEFT_OUT and field["Architecture"] in ("amd64", "all"):
            subjects[name, field["Version"]] = subject
    return subjects


def _fetch(mirror: DebianMirror, file: DebianFile, target: Path) -> Path:
    mirror.download(file, target)
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    if digest != file.sha256:
        raise SourceError(f"{file.name} is not what the index says\n  expected {file.sha256}\n  found    {digest}")
    return target


def _read(package: Path) -> tuple[int, int, list[str]]:
    """Bytes of all files, bytes of those in bin and sbin, and the names of these; links have no size of their own."""
    installed, programs, commands = 0, 0, []
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as unpacking,
        tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive,
    ):
        for member in archive:
            size = member.size if member.isreg() else 0
            installed += size
            command = _COMMAND.fullmatch(member.name)
            if command and not member.isdir():
                programs += size
                commands.append(command[1])
    return installed, programs, commands


def _stanza(package: UsualPackage) -> str:
    lines = ["", "[[package]]"]
    for field in fields(UsualPackage):
        value = getattr(package, field.name)
        if field.name == "commands":
            names = " ".join(f"{json.dumps(command)}," for command in value)
            lines += ["commands = [", textwrap.indent(textwrap.fill(names, 116, break_on_hyphens=False), "    "), "]"]
        else:
            lines.append(f"{field.name} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"
