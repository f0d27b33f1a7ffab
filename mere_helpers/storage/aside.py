"""Files that are there as a whole or not at all: written beside their place under a name of their own, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .tree import sync_folder


@contextmanager
def written_aside(path: Path, mode: int = 0o644, *, replace: bool = True) -> Iterator[Path]:
    """A path to write to; at the end the file gets its name, when the disk has it. An error leaves nothing.

    Parameters
    ----------
    path : Path
        Where the file is to be; its folder is there.
    mode : int, optional
        The permission bits that it gets; nobody else can read it before.
    replace : bool, optional
        Whether a file that is there, maybe since a moment ago, gives way; otherwise it stays.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        with open(aside, "rb") as file:
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if replace:
            aside.rename(path)
        else:
            try:
                os.link(aside, path)
            except FileExistsError:
                return
        sync_folder(path.parent)
    finally:
        aside.unlink(missing_ok=True)
