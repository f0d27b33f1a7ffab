"""Pins: the source files a recipe names, each with the sha256 that says which file is meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import RecipeError
from ..files import sha256


@dataclass(frozen=True)
class Source:
    """A source file that has to be fetched."""

    #: The file name that the build expects.
    name: str
    #: Where upstream publishes it; ``None`` when only a Debian source package carries it.
    url: str | None
    sha256: str
    #: Debian source packages, ``NAME=VERSION``, that may carry the file.
    debian: tuple[str, ...]
    #: The id of the recipe that pins it.
    recipe: str


def read_pins(id: str, folder: Path, fields: Mapping[str, tuple[str, ...]]) -> tuple[tuple[Source, ...], list[Path]]:
    """Sort a recipe's source files into those to fetch and those that lie beside it, and equal their pins.

    It is a RecipeError if a file has no pin, no place to come from, another pin, or the name of another one.
    """
    entries, pins, debian = (fields.get(name, ()) for name in ("source", "sha256sums", "_debian"))
    if len(entries) != len(pins):
        raise RecipeError(f"{id} has {len(entries)} sources and {len(pins)} sha256sums")
    for package in debian:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]+=[0-9A-Za-z.+~:-]+", package):
            raise RecipeError(f"{id}: {package} in _debian is not NAME=VERSION")

    sources, local = [], []
    for entry, pin in zip(entries, pins, strict=True):
        name, url = _name_and_url(entry)
        if not re.fullmatch(r"[0-9a-f]{64}", pin):
            raise RecipeError(
                f"{id}: {name} is not pinned, its sha256 is {pin!r}",
                hint="get the file from two independent places and, when they agree, write down what sha256sum says",
            )
        foreign = url is not None and not re.match(r"(https?|ftp|file)://", url)
        if foreign or "/" in name or name in ("", ".", ".."):
            raise RecipeError(f"{id}: {entry} is neither a URL nor a file name")
        beside = folder / name
        if url is None and beside.is_file():
            found = sha256(beside)
            if found != pin:
                raise RecipeError(
                    f"{id}: {name} is not the file that was pinned\n  expected {pin}\n  found    {found}",
                    hint="if you changed it on purpose, write the new sha256 into sha256sums",
                )
            local.append(beside)
        elif url is None and not debian:
            hint = "give its URL, name a Debian source package in _debian, or add the file"
            raise RecipeError(f"{id}: nobody has {name}", hint=hint)
        else:
            sources.append(Source(name, url, pin, debian, id))
    refuse_clashes(id, [source.name for source in sources] + [file.name for file in local])
    return tuple(sources), local


def _name_and_url(entry: str) -> tuple[str, str | None]:
    name, renamed, url = entry.rpartition("::")
    if "://" not in entry:
        return entry, None
    return (name, url) if renamed else (url.rpartition("/")[2], url)


def refuse_clashes(id: str, names: Iterable[str]) -> None:
    """Raise RecipeError when two files of a build, which lie in one directory, share a name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise RecipeError(f"{id} has two files named {name}", hint="rename one of them: newname::URL")
        seen.add(name)
