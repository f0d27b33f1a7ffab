"""Two builds of the same packages: are they equal, and if not, where do they begin to differ?"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from ..config import Config, clean_environment
from ..sandbox.sandbox import BUILDER, Bind, Sandbox
from ..store.archive import read_archive
from .gate import attributes
from .package_file import SUFFIX

#: Names the packages a build could see, and so differs between a guest's build and the system's own.
_ENVIRONMENT = ".BUILDINFO"

#: Lists all members with their sums, the one above included.
_LISTING = ".MTREE"

#: What there is to say of packages whose bytes differ while `differences` has none.
NOT_IN_PAYLOAD = "the payload is equal, but not .BUILDINFO or the archive"

#: Seconds that diffoscope may think.
_PATIENCE = 300

#: Lines of what it complains of that are shown: the last ones of a traceback say what was wrong.
_COMPLAINT = 10


def payload(file: Path) -> dict[str, str]:
    """What a package consists of: a hash for each member, over its name, type, permissions, owner, time and content.

    Extended attributes and the like count, too. Left out are `.BUILDINFO`, which names the environment of the build,
    and its line in `.MTREE`.

    Raises
    ------
    PackageError
        The file is not a package, or has two members of one name.
    """
    archive = read_archive(file)
    hashes = {}
    for member in archive.members.values():
        if member.name == _ENVIRONMENT:
            continue
        content, size = member.sha256 or hashlib.sha256().hexdigest(), member.size
        if member.name == _LISTING and _LISTING in archive.texts:
            listing = re.sub(r"^\./\.BUILDINFO .*\n", "", archive.texts[_LISTING], flags=re.MULTILINE)
            content, size = hashlib.sha256(listing.encode("latin-1")).hexdigest(), len(listing)
        about = [member.name, member.type, member.mode, member.mtime, size, member.link]
        owner = [member.uid, member.gid, member.uname, member.gname]
        # Appended only where there are some: hashes of packages without them are already in print.
        more = [found] if (found := attributes(member)) else []
        text = json.dumps([*about, *owner, content, *more])
        hashes[member.name] = hashlib.sha256(text.encode()).hexdigest()
    return hashes


def payload_digest(file: Path) -> str:
    """One sha256 over the `payload` of a package, in the order of the archive."""
    lines = (f"{digest}  {name}\n" for name, digest in payload(file).items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def differences(config: Config, first: Path, second: Path) -> list[str]:
    """Where the packages in two directories differ in their payloads, a line for each place; nothing if they are equal.

    Where the host has diffoscope, what it finds in the first package that differs is part of the answer.

    Raises
    ------
    PackageError
        A file is not a package.
    """
    lines = []
    report: list[str] = []
    for name in sorted({path.name for folder in (first, second) for path in folder.glob(f"*{SUFFIX}")}):
        one, other = first / name, second / name
        if not (one.is_file() and other.is_file()):
            lines.append(f"{name}: only in the {'first' if one.is_file() else 'second'} build")
            continue
        found = _members(payload(one), payload(other))
        lines += [f"{name}: {line}" for line in found]
        if found and not report:
            report = _diffoscope(config, one, other)
    return lines + report


def _members(first: Mapping[str, str], second: Mapping[str, str]) -> list[str]:
    lines = [f"{name} differs" for name in first if name in second and first[name] != second[name]]
    lines += [f"{name} is only in the first build" for name in first if name not in second]
    lines += [f"{name} is only in the second build" for name in second if name not in first]
    # It differs whenever another one does, and so tells the least.
    lines.sort(key=lambda line: line.startswith(_LISTING))
    if not lines and list(first) != list(second):
        lines.append("the order of the members differs")
    return lines


def _diffoscope(config: Config, first: Path, second: Path) -> list[str]:
    """What diffoscope says. It hands packages to dozens of parsers, so it works in a sandbox, too."""
    if shutil.which("diffoscope", path=clean_environment()["PATH"]) is None:
        return ["(with diffoscope on this host, its report would stand here)"]
    binds = [Bind(first, f"/first/{first.name}"), Bind(second, f"/second/{second.name}")]
    environment = clean_environment(HOME="/tmp")
    with Sandbox(config, [], host=True, user=BUILDER, binds=binds, environment=environment) as sandbox:
        command = ["diffoscope", "--exclude", _ENVIRONMENT, "--max-text-report-size", "4000", "--"]
        done = sandbox.run([*command, *(bind.target for bind in binds)], timeout=_PATIENCE, cwd="/tmp")
    lines = done.tail.splitlines()
    # 0 and 1 are its answers, all else is a failure.
    if done.reason or done.code not in (0, 1):
        return [f"(diffoscope failed: {done.reason or f'status {done.code}'})", *lines[-_COMPLAINT:]]
    return lines
