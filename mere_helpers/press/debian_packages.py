"""What the usual packages bring: the commands in Debian's packages, which are read as data and never installed.

A book cannot look into another distribution each time it is read: mirrors move on. So the result is kept in a file,
with the version and the sha256 of every package it was read from, and there is a command that makes it again.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
import tempfile
import textwrap
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from ..config import Config
from ..errors import SourceError
from ..fetching.address import shown
from ..fetching.cache import fetch, source_path
from ..fetching.debian import ask_apt
from ..fetching.download import printable
from ..files import read_record, write_record
from ..planning.recipe import Recipe, Source

#: What busybox stands in for: names of source packages.
SUBJECTS = (
    *("bzip2", "coreutils", "diffutils", "findutils", "gawk", "grep", "gzip"),
    *("inetutils", "iproute2", "kbd", "sed", "sysklogd", "tar", "util-linux"),
)

#: The release of Debian that is looked at, and the keys that have to sign its index.
SUITE, _KEYRING = "trixie", "/usr/share/keyrings/debian-archive-keyring.gpg"

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

    It is made from the source package `subject`, one of `SUBJECTS`. `installed` are the bytes of all its files,
    `programs` those of its files in ``bin`` and ``sbin``. `commands` are sorted, without the marks of Debian's.
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

    def parse(text: str) -> tuple[UsualPackage, ...]:
        stanzas = tomllib.loads(text)["package"]
        return tuple(UsualPackage(**stanza | {"commands": tuple(stanza["commands"])}) for stanza in stanzas)

    return read_record(config.checkout / _FILE, parse)


def found(config: Config) -> tuple[UsualPackage, ...]:
    """The same, from Debian's archive of today: a few megabytes are fetched, verified, read and forgotten.

    A SourceError says that Debian cannot be asked, or hands out something else than its index promises.
    """
    with tempfile.TemporaryDirectory() as folder:
        here = replace(config, sources=Path(folder, "sources"), mirrors=())
        candidates = _candidates(_index(config, Path(folder)))
        fetch(here, [Recipe("debian", SUITE, Path(folder), sources=tuple(candidates))])
        packages = []
        for source, (subject, name, version) in candidates.items():
            installed, programs, commands = _read(source_path(here, source))
            names = sorted({_MARK.sub("", command) for command in commands}.union(_LINKS.get(name, ())))
            if commands:
                packages.append(UsualPackage(subject, name, version, source.sha256, installed, programs, tuple(names)))
    return tuple(sorted(packages, key=lambda package: (package.subject, package.name)))


def changes(before: Sequence[UsualPackage], now: Sequence[UsualPackage]) -> list[str]:
    """What differs, a line for each package; nothing if all is the same."""
    old, new = ({package.name: package for package in packages} for packages in (before, now))
    lines = []
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            lines.append(f"{name}: only in {'the archive' if name in new else 'the file'}")
        elif old[name] != new[name]:
            before_it = asdict(old[name])
            different = ", ".join(field for field, value in asdict(new[name]).items() if value != before_it[field])
            lines.append(f"{name} {old[name].version}, now {new[name].version}: another {different}")
    return lines


def update(config: Config, packages: Sequence[UsualPackage]) -> None:
    """Write ``book/usual-packages.toml`` anew."""
    write_record(config.checkout / _FILE, _HEAD + "".join(map(_stanza, packages)))


def _index(config: Config, folder: Path) -> str:
    """Debian's signed index of packages, by the machine's apt with a state of its own."""
    debian = ask_apt()
    if problem := "offline" if config.offline else debian.problem:
        raise SourceError(problem)
    (folder / "list").write_text(f"deb [arch=amd64 signed-by={_KEYRING}] {debian.archives[0]} {SUITE} main\n")
    (folder / "lists/partial").mkdir(parents=True)
    # Read after the machine's own configuration, so that its proxies stay, but not its hooks, which would clean its own
    # lists; and whatever it allows for itself, an index is believed only by its signature.
    conf = folder / "apt.conf"
    conf.write_text(
        f'Dir::State "{folder}"; Dir::State::lists "{folder}/lists"; Dir::State::status "/dev/null";\n'
        f'Dir::Cache "{folder}/cache"; Dir::Etc::sourcelist "{folder}/list"; Dir::Etc::sourceparts "/none";\n'
        'APT::Sandbox::User ""; APT::Architecture "amd64"; Acquire::Languages "none";\n'
        'Acquire::AllowInsecureRepositories "false"; Acquire::AllowDowngradeToInsecureRepositories "false";\n'
        "#clear APT::Update;\n"
    )
    run = partial(subprocess.run, capture_output=True, text=True, errors="replace")
    updated = run(["timeout", "1800", "apt-get", "-qq", "-c", conf, "update"])
    if index := run(["apt-cache", "-c", conf, "dumpavail"]).stdout:
        return index
    raise SourceError(f"no index: {shown(printable(updated.stderr, 500))}")


def _candidates(index: str) -> dict[Source, tuple[str, str, str]]:
    """The file of every package that may bring commands, with its subject, name and version."""
    candidates = {}
    for stanza in index.split("\n\n"):
        field = dict(re.findall(r"^(\w+): (\S+)", stanza, re.MULTILINE))
        name = field.get("Package", "")
        made_from = field.get("Source", name)
        subject = _COUNTED_AS.get(name, made_from)
        if subject in SUBJECTS and field["Section"] not in _LEFT_OUT and field["Architecture"] in ("amd64", "all"):
            file, package = Path(field["Filename"]).name, f"{made_from}={field['Version']}"
            source = Source(file, None, field["SHA256"], (package,), f"debian/{name}")
            candidates[source] = (subject, name, field["Version"])
    return candidates


def _read(package: Path) -> tuple[int, int, list[str]]:
    """Bytes of all files, bytes of those in bin and sbin, and the names of these; links have no size of their own."""
    installed, programs, commands = 0, 0, []
    unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
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
    for field, value in asdict(package).items():
        if field == "commands":
            names = " ".join(f"{json.dumps(command)}," for command in value)
            lines += ["commands = [", textwrap.indent(textwrap.fill(names, 116, break_on_hyphens=False), "    "), "]"]
        else:
            lines.append(f"{field} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"
