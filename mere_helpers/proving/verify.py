"""Is everything in the store still what it was? Every file is read again: disks forget, and programs have bugs."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..building.layers import all_layers, is_intact, record_file
from ..config import Config
from ..errors import StoreError
from ..marker import HASH
from ..recipes.recipe import load_recipes
from ..report import Table, size
from ..storage.entry import read_entry
from ..storage.store import Store


@dataclass
class Checked:
    """What was found about one part of the store.

    Attributes
    ----------
    what : str
        What was read, such as ``builds``.
    count, bytes : int
        How many there were, and how large they are together.
    problems : list of tuple of str
        What is wrong, and the command that mends it.
    """

    what: str
    count: int = 0
    bytes: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)


def verify(config: Config) -> Table:
    """Read everything in the store again, and compare it with the recorded checksums.

    Returns
    -------
    Table
        A row for each part.

    Raises
    ------
    StoreError
        Something has changed; the message names each, with the command that mends it.
    """
    found = [check(config) for check in CHECKS]
    if problems := [problem for part in found for problem in part.problems]:
        total = sum(part.count for part in found)
        lines = [f"{len(problems)} of {total} are not what they were:"]
        for what, command in problems:
            lines += [f"  {what}", f"      {command}"]
        raise StoreError("\n".join(lines), hint="run the indented commands, then verify again")
    rows = tuple((part.what, str(part.count), size(part.bytes) if part.bytes else "") for part in found)
    return Table(("what was read again", "number", "size"), rows, note="Everything is what it was.")


def check_entries(config: Config) -> Checked:
    """Every output of every build, against what was recorded when it was stored."""
    store, checked = Store(config), Checked("builds")
    for path in _hashes(config.store / "entries"):
        # With a look at its files, one that lacks a file would not be there, and nobody would say which file.
        entry = read_entry(path, look=False)
        mend = f"rm -rf {shlex.quote(str(path))}   # the next run builds it again"
        try:
            if entry is None:
                problem = f"the build in {path} has a damaged description"
            else:
                checked.bytes += sum(output.size for output in entry.outputs.values())
                problem = ""
                store.verify(entry)
        except StoreError as error:
            problem = f"{path.name[:8]}…, {error.message}"
        except FileNotFoundError as error:
            problem = f"{path} lacks {error.filename}"
        # Another run may have replaced it meanwhile.
        if path.exists():
            checked.count += 1
            if problem:
                checked.problems.append((problem, mend))
    return checked


def check_sources(config: Config) -> Checked:
    """Every file in the cache of sources, against the sha256 under which it is kept, which is the recipe's pin."""
    pinned = {source.sha256: source.recipe for recipe in load_recipes(config).values() for source in recipe.sources}
    checked = Checked("source files")
    for folder in _hashes(config.sources):
        for path in sorted(folder.iterdir()):
            checked.count += 1
            command = f"rm -rf {shlex.quote(str(folder))}"
            if folder.name in pinned:
                command = f"python -m mere_helpers fetch {pinned[folder.name]}   # sets it aside and brings a good copy"
            try:
                with open(path, "rb") as file:
                    same = hashlib.file_digest(file, "sha256").hexdigest() == folder.name
                checked.bytes += path.stat().st_size
            except OSError as error:
                checked.problems.append((f"the source file {path} cannot be read: {error.strerror}", command))
            else:
                if not same:
                    checked.problems.append((f"the source file {path} has changed", command))
    return checked


def check_layers(config: Config) -> Checked:
    """Every file of every installed package, against what it was when pacman had installed it."""
    checked = Checked("layers")
    for layer in all_layers(config):
        checked.count += 1
        if not is_intact(config, layer):
            command = f"rm -f {shlex.quote(str(record_file(layer)))}   # it is made again when it is needed"
            checked.problems.append((f"the layer {layer} has changed", command))
    return checked


#: What `verify` does, in this order.
CHECKS: tuple[Callable[[Config], Checked], ...] = (check_entries, check_sources, check_layers)


def _hashes(folder: Path) -> Iterator[Path]:
    """The directories that are named after a sha256."""
    for path in sorted(folder.glob("*")):
        if re.fullmatch(HASH, path.name) and path.is_dir():
            yield path
