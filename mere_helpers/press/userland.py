"""Words about busybox in place of the usual packages: what these bring, what ours has of it, and what a build calls."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import fill

from ..building.builders import package_file
from ..building.package_file import package_info
from ..errors import MereError
from ..session import Session
from ..store.archive import SYMLINK, inventory
from ..text import size
from .debian_packages import SUBJECTS, recorded
from .default import session
from .table import Table, Text

#: bash has these itself, so that a recipe which says them calls no program.
_BUILTINS = frozenset(("[", "echo", "false", "kill", "printf", "pwd", "test", "true"))

#: What a function of a recipe does: all lines up to the first that is nothing but a closing brace.
_FUNCTION = re.compile(r"^[\w.@+-]+ *\(\) *\{\n((?:.*\n)+?)\}$", re.MULTILINE)

#: Where the name of a command stands in a line of a recipe's function; it is left for the next match (| xargs rm).
_CALLED = re.compile(r"(?:^\s+|[|;&]\s*|\$\(|(?:\b(?:then|do|else|if|while|xargs)|-exec)\s+)(?=([\w.\[-]+)(?:\s|$|\)))")


@dataclass(frozen=True)
class _Subject:
    """A usual package: all that Debian makes of one source."""

    name: str
    version: str
    packages: int
    installed: int
    programs: int
    commands: frozenset[str]


@dataclass(frozen=True)
class _Busybox:
    """Our package, with the names that it answers to."""

    version: str
    installed: int
    program: int
    commands: frozenset[str]


def userland() -> Table:
    """The packages that busybox stands in for: how many commands each brings, and how many of those ours has."""
    subjects, busybox = _subjects(session()), _busybox(session())
    rows = []
    for subject in subjects.values():
        has = len(subject.commands & busybox.commands)
        numbers = (str(subject.packages), str(len(subject.commands)), str(has))
        rows.append((subject.name, subject.version, *numbers, size(subject.programs), size(subject.installed)))
    names = frozenset().union(*(subject.commands for subject in subjects.values()))
    programs, installed = (sum(getattr(s, field) for s in subjects.values()) for field in ("programs", "installed"))
    note = (
        f"{len(names)} different names, {len(names & busybox.commands)} of them in busybox; "
        f"programs of {size(programs)}, {size(installed)} installed. busybox {busybox.version}: "
        f"{len(busybox.commands)} names, one program of {size(busybox.program)}, {size(busybox.installed)} installed."
    )
    columns = ("package", "version", "split into", "commands", "in busybox", "programs", "installed")
    return Table(columns, tuple(rows), note=note)


def commands(*packages: str) -> Text:
    """The commands of these usual packages, of all by default: those that our busybox has, and those that it lacks."""
    subjects, busybox = _subjects(session()), _busybox(session())
    lines = []
    for name in packages or SUBJECTS:
        if name not in subjects:
            raise MereError(f"{name} is none of the packages that are compared", hint=f"they are {', '.join(SUBJECTS)}")
        named = subjects[name].commands
        lines += [name, *_list("has", named & busybox.commands), *_list("lacks", named - busybox.commands)]
    return Text("\n".join(lines))


def whose(names: Text | str) -> Table:
    """To which of the usual packages these commands belong; the last row holds those that belong to none of them."""
    asked = set(str(names).split())
    subjects = _subjects(session())
    rows = [(name, " ".join(sorted(asked & subject.commands))) for name, subject in subjects.items()]
    rows.append(("another", " ".join(sorted(asked.difference(*(subject.commands for subject in subjects.values()))))))
    return Table(("package", "commands"), tuple(row for row in rows if row[1]))


def uses() -> Table:
    """For each usual package, the command that our recipes call in most lines, and the first of these lines.

    The functions of the packages' recipes are read as text; what a makefile or a script calls in its turn is not there.
    """
    now = session()
    subjects, busybox = _subjects(now), _busybox(now)
    calls = list(_calls(now))
    rows = []
    for subject in subjects.values():
        counted = Counter(name for name, _, _ in calls if name in subject.commands & busybox.commands)
        if counted:
            (name, count), *_ = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
            recipe, line = next((recipe, line) for called, recipe, line in calls if called == name)
            rows.append((subject.name, name, str(count), recipe, line))
        else:
            rows.append((subject.name, "", "", "", ""))
    lacking = frozenset().union(*(subject.commands for subject in subjects.values())) - busybox.commands
    called = ", ".join(sorted({name for name, _, _ in calls} & lacking))
    note = f"Of the {len(lacking)} commands that busybox lacks, the recipes call {called or 'none'}."
    return Table(("package", "most called", "lines", "recipe", "first of them"), tuple(rows), note=note)


def _subjects(now: Session) -> dict[str, _Subject]:
    packages = recorded(now.config)
    subjects = {}
    for name in SUBJECTS:
        parts = [package for package in packages if package.subject == name]
        # The part that bears the name of the whole tells the version.
        first = min(parts, key=lambda package: package.name != name)
        subjects[name] = _Subject(
            name,
            first.version,
            len(parts),
            sum(package.installed for package in parts),
            sum(package.programs for package in parts),
            frozenset(command for package in parts for command in package.commands),
        )
    return subjects


def _busybox(now: Session) -> _Busybox:
    provider = now.plan.provider("busybox")
    file = package_file(now.ensure_built([provider])[provider], "busybox")
    members = inventory(file)
    links = (name for name, member in members.items() if member.type == SYMLINK and name.startswith("bin/"))
    names = frozenset(name.removeprefix("bin/") for name in links)
    info = package_info(file)
    return _Busybox(info["pkgver"][0], int(info["size"][0]), members["bin/busybox"].size, names)


def _calls(now: Session) -> Iterator[tuple[str, str, str]]:
    """Command, recipe and line, for each command that the functions of a package's recipe call."""
    for recipe in now.recipes():
        if recipe.packages:
            for line in "".join(_FUNCTION.findall(recipe.path.read_text())).splitlines():
                if not line.lstrip().startswith("#"):
                    for name in dict.fromkeys(_CALLED.findall(line)):
                        if name not in _BUILTINS:
                            yield name, recipe.name, line.strip()


def _list(title: str, names: frozenset[str]) -> list[str]:
    if not names:
        return []
    text = fill(" ".join(sorted(names)), 100, break_on_hyphens=False, break_long_words=False)
    return [f"  {title if number == 0 else '':6}{line}" for number, line in enumerate(text.splitlines())]
