"""Whose directory is this? A marker file says which are ours to write to and to clean; others are refused.

The marker is a CACHEDIR.TAG, which also keeps backup programs from saving what can be made again; its second line names
this project and what the directory is.
"""

from __future__ import annotations

import os
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import StoreError
from .files import write_atomically

NAME = "CACHEDIR.TAG"

#: What every CACHEDIR.TAG begins with, see https://bford.info/cachedir/
_SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55"

#: A marker that is being written.
_ASIDE = f".{NAME}."

#: What `check_host` makes in a store for a moment.
_TRIAL = ".check"

#: The name of an entry, or of a directory with a source file: a sha256.
HASH = "[0-9a-f]{64}"

_HALF, _BUILD = "[0-9a-f]{16}", "(cross|temptools|packages|rebuild|confirm)-.+"
_KEY = (
    r"fingerprint|public\.asc|(pubring|secring|trustdb)\..+|openpgp-revocs\.d|private-keys-v1\.d|random_seed|S\..+|\..+"
)

#: What we put into a store, by name, and the names that are in there; what has another name is not ours to remove.
#: Locks are empty files. A name without a pattern is that of a file.
CONTENTS = {
    "apt": r"apt\.conf|auxfiles|cache|lists|lock|mere\.sources|packages|update\.log|updated-.+|(src)?pkgcache\.bin.*",
    "book.jsonl": "",
    "containers": r"lock|(gone-)?mere-\d+-\w+",
    "entries": HASH,
    "failed": _BUILD,
    "key": _KEY,
    "latest": rf"\.?{_BUILD}",
    "layers": rf"\.?{_HALF}(\..+)?",
    "locks": f"{HASH}|{_BUILD}|layer-{_HALF}|jobs|key|repository",
    "logs": rf"({_BUILD}|fetch|repository-.+)\.log|book-.+\.ipynb",
    "repositories": _HALF,
    "sources": rf"{HASH}|partial|rejected|locks|\.?{re.escape(NAME)}.*",
    "substitutes.key": "",
    "substitutes.seen": "",
    "systems": _HALF,
    "work": "again|book-.+|desk|elsewhere|entries|jobs|steps|tmp.{8}|trash",
}


@dataclass(frozen=True)
class Kind:
    """A kind of directory: the second line of its marker, its name in messages, and the variable to set another one."""

    line: str
    noun: str
    variable: str


STORE = Kind("# Mere Linux from source: a store of builds", "a store", "MERE_STORE")
SOURCES = Kind("# Mere Linux from source: a cache of source files", "a cache of sources", "MERE_SOURCES")


def mark(folder: Path, kind: Kind) -> None:
    """Make a directory that is ours, with its marker, also one that is empty or that an earlier edition has made.

    StoreError: it holds other things. OSError: it cannot be made.
    """
    if not _is_marked(folder, kind):
        check(folder, kind)
        folder.mkdir(parents=True, exist_ok=True)
        # What has been ours all along can be read even where nothing can be written.
        with suppress(OSError):
            write_atomically(folder / NAME, f"{_SIGNATURE}\n{kind.line}\n")


def check(folder: Path, kind: Kind) -> None:
    """Raise StoreError for a directory with other things; nothing is written. One that is empty may become ours."""
    if _is_marked(folder, kind):
        return
    names = {name for name in _names(folder) if not name.startswith((_ASIDE, _TRIAL))}
    earlier = _made_as_store(folder, names) if kind is STORE else not foreign(folder, CONTENTS["sources"])
    # Asked once more at the end: somebody else may have begun to fill it meanwhile.
    if names and not earlier and not _is_marked(folder, kind):
        some = ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        name = "mere" if kind is STORE else "mere-sources"
        raise StoreError(
            f"{folder} is not {kind.noun} of ours: it holds other things ({some})",
            hint=f"export {kind.variable}={shlex.quote(str(folder / name))}   # one that is empty or to be made",
        )


def foreign(folder: Path, pattern: str) -> list[str]:
    """The names in a directory of `CONTENTS` that are not ours, sorted."""
    return sorted(name for name in _names(folder) if not re.fullmatch(pattern, name))


def is_marker(name: str) -> bool:
    """Whether a name is that of a marker, or of one that was never finished."""
    return name == NAME or name.startswith(_ASIDE)


def _is_marked(folder: Path, kind: Kind) -> bool:
    with suppress(OSError, ValueError), open(folder / NAME, encoding="utf-8") as file:
        return file.read(4096).splitlines()[:2] == [_SIGNATURE, kind.line]
    return False


def _made_as_store(folder: Path, names: set[str]) -> bool:
    """Whether an edition from before there were markers has made a store here."""
    if "locks" in names and any(re.fullmatch(HASH, name) for name in _names(folder / "entries")):
        return True
    # One that has no entries yet holds nothing but what is ours; somebody's own `work` or `key` holds something else.
    return names <= CONTENTS.keys() | {NAME} and not any(
        foreign(folder / name, CONTENTS[name]) for name in names - {NAME}
    )


def _names(folder: Path) -> set[str]:
    with suppress(OSError):
        return set(os.listdir(folder))
    return set()
