"""Is everything in the store still what it was? Every file is read again: disks forget, and programs have bugs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..building.layers import all_layers, is_intact, record_file
from ..config import Config
from ..errors import StoreError
from ..files import sha256
from ..marker import HASH
from ..planning.recipe import load_recipes
from ..store.entry import read_entry
from ..store.store import Store


@dataclass
class Checked:
    """What was found about one part of the store, such as ``builds``: how many there are, and their bytes together.

    For each problem there are two texts: what is wrong, and the command that mends it.
    """

    what: str
    count: int = 0
    bytes: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)


def verify(config: Config) -> list[Checked]:
    """Read everything in the store again, and compare it with the recorded checksums.

    StoreError: something has changed; the message names each, with the command that mends it.
    """
    found = [check(config) for check in CHECKS]
    if problems := [problem for part in found for problem in part.problems]:
        total = sum(part.count for part in found)
        lines = [f"{len(problems)} of {total} are not what they were:"]
        for what, command in problems:
            lines += [f"  {what}", f"      {command}"]
        raise StoreError("\n".join(lines), hint="run the indented commands, then verify again")
    return found


def check_entries(config: Config) -> Checked:
    """Every output of every build, against what was recorded when it was stored."""
    store, checked = Store(config), Checked("builds")
    for path in _hashes(config.store / "entries"):
        problem = ""
        try:
            # With a look at its files, one that lacks a file would not be there, and nobody would say which file.
            entry = read_entry(path, look=False)
            if entry is None:
                problem = f"the build in {path} has a damaged description"
            else:
                checked.bytes += sum(output.size for output in entry.outputs.values())
                store.verify(entry)
        except StoreError as error:
            problem = f"{path.name[:8]}…, {error.message}"
        except FileNotFoundError as error:
            problem = f"{path} lacks {error.filename}"
        # Another run may have replaced it meanwhile.
        if path.exists():
            checked.count += 1
            if problem:
                command = f"rm -rf {shlex.quote(str(path))}   # the next run builds it again"
                checked.problems.append((problem, command))
    return checked


def check_sources(config: Config) -> Checked:
    """Every file in the cache of sources, against the sha256 under which it is kept, which is the recipe's pin."""
    pinned = {source.sha256: source.recipe for recipe in load_recipes(config).values() for source in recipe.sources}
    checked = Checked("source files")
    for folder in _hashes(config.sources):
        for path in sorted(folder.iterdir()):
            checked.count += 1
            try:
                problem = "" if sha256(path) == folder.name else "has changed"
                checked.bytes += path.stat().st_size
            except OSError as error:
                problem = f"cannot be read: {error.strerror}"
            if problem:
                command = f"rm -rf {shlex.quote(str(folder))}"
                if recipe := pinned.get(folder.name):
                    command = f"python -m mere_helpers fetch {recipe}   # sets it aside and brings a good copy"
                checked.problems.append((f"the source file {path} {problem}", command))
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
    return (path for path in sorted(folder.glob("*")) if re.fullmatch(HASH, path.name) and path.is_dir())
