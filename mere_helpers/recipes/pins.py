"""Pins: the source files a recipe names, each with the sha256 that says which file is meant."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import RecipeError


@dataclass(frozen=True)
class Source:
    """A source file that has to be fetched.

    Attributes
    ----------
    name : str
        The file name that the build expects.
    url : str or None
        Where upstream publishes it; ``None`` when only a Debian source package carries it.
    sha256 : str
        The pin.
    debian : tuple of str
        Debian source packages, ``NAME=VERSION``, that may carry the file.
    recipe : str
        The id of the recipe that pins it.
    """

    name: str
    url: str | None
    sha256: str
    debian: tuple[str, ...]
    recipe: str


def read_pins(id: str, folder: Path, fields: Mapping[str, tuple[str, ...]]) -> tuple[tuple[Source, ...], list[Path]]:
    """Sort a recipe's source files into those to fetch and those that lie beside it.

    Parameters
    ----------
    id : str
        The recipe's, for messages.
    folder : Path
        The recipe's folder.
    fields : mapping of str to tuple of str
        Its ``source``, ``sha256sums`` and ``_debian``.

    Returns
    -------
    tuple of Source, list of Path
        What has to be fetched, and the files beside the recipe, which equal their pins.

    Raises
    ------
    RecipeError
        A file is without a pin, has no place to come from, differs from its pin, or shares its name with another.
    """
    entries, pins = fields.get("source", ()), fields.get("sha256sums", ())
    debian = fields.get("_debian", ())
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
            found = hashlib.sha256(beside.read_bytes()).hexdigest()
            if found != pin:
                raise RecipeError(
                    f"{id}: {name} is not the file that was pinned\n  expected {pin}\n  found    {found}",
                    hint="if you changed it on purpose, write the new sha256 into sha256sums",
                )
            local.append(beside)
        elif url is None and not debian:
            raise RecipeError(
                f"{id}: nobody has {name}",
                hint="give its URL, name a Debian source package in _debian, or add the file",
            )
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
    """Raise RecipeError when two files of a build, which lie in one folder, share a name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise RecipeError(f"{id} has two files named {name}", hint="rename one of them: newname::URL")
        seen.add(name)
