"""The sums that everybody should get: of every source, and of every published package."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..building.package_file import package_name
from ..config import Config
from ..errors import DifferenceError, RecipeError
from ..planning.recipe import Recipe
from ..store.store import Entry
from .records import Record

_RECORD = Record(
    "recipes/digests.toml",
    """\
# The sha256 of every source and of every published package. The book compares its own with these, on each machine.
# `python -m mere_helpers digests --update` writes this file, after a change that was meant.
""",
)


@dataclass(frozen=True)
class Digests:
    """Hexadecimal sha256 by file name, of what is fetched and of what is published."""

    sources: Mapping[str, str]
    packages: Mapping[str, str]


def digests_of(recipes: Iterable[Recipe], entries: Iterable[Entry]) -> Digests:
    """The sums of what these recipes fetch, and of the packages in these entries of the store."""
    return Digests(
        {source.name: source.sha256 for recipe in recipes for source in recipe.sources},
        {name: output.sha256 for entry in entries for name, output in entry.outputs.items()},
    )


def recorded_digests(config: Config) -> Digests:
    """What ``recipes/digests.toml`` says. RecipeError: it cannot be read."""
    tables = _RECORD.read(config)
    if tables and set(tables) != {"sources", "packages"}:
        file = _RECORD.file
        raise RecipeError(f"cannot read {file}: its tables are {', '.join(tables)}", hint=f"git checkout {file}")
    return Digests(tables.get("sources", {}), tables.get("packages", {}))


def changes(recorded: Digests, found: Digests) -> list[str]:
    """What differs, a line for each file; nothing if all is as recorded."""
    lines = []
    sources, packages = (recorded.sources, found.sources), (recorded.packages, found.packages)
    for what, (before, now) in (("source", sources), ("package", packages)):
        for name in sorted(before.keys() | now.keys()):
            if name not in now:
                lines.append(f"{what} {name}: recorded, and no longer there")
            elif name not in before:
                lines.append(f"{what} {name}: not recorded")
            elif before[name] != now[name]:
                lines.append(f"{what} {name}: recorded {before[name]}, found {now[name]}")
    return lines


def check(config: Config, found: Digests) -> None:
    """Compare with what is recorded. DifferenceError: a sum differs; the hint says what to do."""
    recorded = recorded_digests(config)
    if different := changes(recorded, found):
        raise DifferenceError(
            "\n".join([f"not as in {_RECORD.file}:", *(f"  {line}" for line in different)]),
            hint=_hint(config, [name for name, _ in sorted(found.packages.items() - recorded.packages.items())]),
        )


def update(config: Config, found: Digests) -> list[str]:
    """Write ``recipes/digests.toml`` anew; returns what has changed, a line for each file."""
    try:
        recorded = recorded_digests(config)
    except RecipeError:
        recorded = Digests({}, {})
    _RECORD.write(config, {"sources": found.sources, "packages": found.packages})
    return changes(recorded, found)


def _hint(config: Config, files: Sequence[str]) -> str:
    """What to do about packages that are not as recorded; nothing of it needs a repository, or a sum of somebody's."""
    update = "after a change of yours (see git status): python -m mere_helpers digests --update"
    if not files:
        return update
    names = shlex.join(map(package_name, files))
    entries = shlex.quote(str(config.store / "entries"))
    return (
        f"{update}\n"
        f"without one: python -m mere_helpers vary {names}   # does this machine get these bytes each time?\n"
        "and please report what it says, with the .BUILDINFO of each package: "
        f"find {entries} -name {shlex.quote(files[0])} -exec tar --zstd -xOf {{}} .BUILDINFO ';'"
    )
