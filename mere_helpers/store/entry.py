"""One finished build of the store, and how it is read from a disk that may have been damaged."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from ..files import digest


@dataclass(frozen=True)
class Output:
    """A file that a build left: its sha256, its size in bytes, its permission bits."""

    sha256: str
    size: int
    mode: int


@dataclass(frozen=True)
class Entry:
    """One finished build: its id, such as ``packages/musl``, and the hash of everything it was made from.

    Its folder holds ``out/``, ``meta.json``, which is `meta`, and, where there is one, ``log``.
    """

    id: str
    key: str
    path: Path
    meta: dict = field(repr=False, compare=False)

    @property
    def tree(self) -> Path:
        """The folder of the outputs."""
        return self.path / "out"

    @property
    def log(self) -> Path:
        """Everything the build printed."""
        return self.path / "log"

    @property
    def outputs(self) -> dict[str, Output]:
        """The files, by name relative to `tree`."""
        return {name: Output(**about) for name, about in self.meta["outputs"].items()}

    @property
    def output_digest(self) -> str:
        """One hash over all outputs: names, permissions, link targets, contents."""
        return self.meta["output_digest"]

    @property
    def measures(self) -> dict[str, float]:
        """What the build cost: ``wall_s``, ``cpu_s``, ``peak_bytes``, ``started``, ``ended``, ``overhead_s``."""
        return self.meta["measures"]


def read_entry(path: Path, *, look: bool = True) -> Entry | None:
    """The entry in a directory that is named after its key; ``None`` where there is none, or a damaged one.

    `look` is for a file that is missing, or has another size or other permissions; contents are not read.
    """
    try:
        meta = read_meta(path)
        if meta is None or meta["key"] != path.name or meta["output_digest"] != digest(meta):
            return None
        for name, about in meta["outputs"].items() if look else ():
            status = os.lstat(path / "out" / name)
            if status.st_size != about["size"] or status.st_mode != stat.S_IFREG | about["mode"]:
                return None
    except (OSError, ValueError):
        return None
    return Entry(meta["id"], path.name, path, meta)


def read_meta(path: Path) -> dict | None:
    """The description in a directory of an entry; ``None`` where it is missing or lacks something that others read."""
    try:
        meta = json.loads((path / "meta.json").read_bytes())
        outputs = [Output(**about) for about in meta["outputs"].values()]
        texts = [meta["id"], meta["key"], meta["run"], meta["output_digest"], *meta["links"].values()]
        texts += [output.sha256 for output in outputs]
        numbers = [number for output in outputs for number in (output.size, output.mode)]
        numbers += meta["folders"].values()
        good = (
            all(type(text) is str for text in texts)
            and all(type(number) is int for number in numbers)
            and all(isinstance(value, int | float) for value in meta["measures"].values())
            and isinstance(meta["inputs"], dict)
        )
    # json reads recursively, and how deep is up to the file.
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return meta if good else None
