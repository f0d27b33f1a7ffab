"""One finished build of the store, and how it is read from a disk that may have been damaged."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .tree import digest


@dataclass(frozen=True)
class Output:
    """A file that a build left: its sha256, its size in bytes, its permission bits."""

    sha256: str
    size: int
    mode: int


@dataclass(frozen=True)
class Entry:
    """One finished build.

    Attributes
    ----------
    id : str
        Such as ``packages/musl``.
    key : str
        The hash of everything the build was made from.
    path : Path
        The entry's folder: ``out/``, ``meta.json`` and, where there is one, ``log``.
    meta : dict
        What ``meta.json`` holds.
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
    """The entry in a directory that is named after its key.

    Parameters
    ----------
    path : Path
    look : bool, optional
        Whether to look at the files, too.

    Returns
    -------
    Entry or None
        ``None`` where there is none, or where it was damaged so that its description or a look at its files shows it:
        a file that is missing, or has another size or other permissions. Contents are not read.
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
    # json reads recursively, and how deep is up to the file.
    except (OSError, ValueError, RecursionError):
        return None
    return meta if _has_shape(meta) else None


def _has_shape(meta: Any) -> bool:
    """Whether a description has all that others read of it without looking twice."""
    return (
        isinstance(meta, dict)
        and all(isinstance(meta.get(part), str) for part in ("id", "key", "run", "output_digest"))
        and isinstance(meta.get("inputs"), dict)
        and _is_table(meta.get("measures"), lambda value: isinstance(value, int | float))
        and _is_table(meta.get("outputs"), _is_output)
        and _is_table(meta.get("links"), lambda value: isinstance(value, str))
        and _is_table(meta.get("folders"), _is_number)
    )


def _is_table(value: Any, good: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(map(good, value.values()))


def _is_output(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"sha256", "size", "mode"}:
        return False
    return isinstance(value["sha256"], str) and _is_number(value["size"]) and _is_number(value["mode"])


def _is_number(value: Any) -> bool:
    return type(value) is int
