"""What `clean` does: remove from a store what mere has put there, and nothing else."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..config import Config
from ..errors import MereError
from ..files import disk_trouble, remove_tree
from ..locks import Locks
from ..marker import CONTENTS, SOURCES, STORE, check, foreign, is_marker
from ..sandbox.idmap import as_mapped_root
from ..sandbox.lease import remove_dead
from .layers import remove_layers


@dataclass(frozen=True)
class Cleaned:
    """What was removed from a store, with the number of names of ours in each file or directory; and what is left."""

    removed: dict[Path, int]
    left: list[Path]


def clean(config: Config, *, sources: bool = False) -> Cleaned:
    """Remove what was built, and the source files where that is asked for.

    Only names that mere gives, two levels deep, are removed. The directories go when nothing is left in them.
    StoreError: a directory is not ours. MereError: a run is busy there.
    """
    check(config.store, STORE)
    check(config.sources, SOURCES)
    for folder in (config.store, config.sources) if sources else (config.store,):
        _refuse_if_busy(folder / "locks")
    done = Cleaned({}, [])
    # A container that somebody uses right now stays; the others go in the background.
    remove_dead(config)
    with disk_trouble():
        # Layers belong to the root of containers, who removes them.
        layers, pattern = config.store / "layers", CONTENTS["layers"]
        kept = foreign(layers, pattern)
        count = len(_names(layers).difference(kept))
        remove_layers(config, keep=[layers / name for name in kept])
        _empty(config, layers, pattern, done)
        if count:
            done.removed[layers] = count
        for name in sorted(CONTENTS.keys() - {"containers", "layers", "sources"}):
            _empty(config, config.store / name, CONTENTS[name], done)
        _remove_gate(config.store / "containers")
        if sources:
            _empty(config, config.sources, CONTENTS["sources"], done)
            _remove_marked(config.sources)
        done.left.extend(config.store / name for name in sorted(_names(config.store) - CONTENTS.keys()))
        _remove_marked(config.store)
    return done


def _empty(config: Config, path: Path, pattern: str, done: Cleaned) -> None:
    """Remove what has names of ours from a directory, and the directory if nothing is left; or a file of ours."""
    if path.is_dir() and pattern and not path.is_symlink():
        kept = foreign(path, pattern)
        ours = _names(path).difference(kept)
        for name in ours:
            _remove(config, path / name)
        if ours:
            done.removed[path] = len(ours)
        done.left.extend(path / name for name in kept)
        with suppress(OSError):  # not empty
            path.rmdir()
    elif path.is_file() and not pattern:
        path.unlink()
        done.removed[path] = 1
    elif os.path.lexists(path):
        done.left.append(path)


def _remove(config: Config, path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        remove_tree(path)
    except PermissionError:
        as_mapped_root(config, ["rm", "-rf", path], own=True)


def _remove_gate(containers: Path) -> None:
    """Remove the directory of containers if there are none."""
    with suppress(OSError):
        gate = os.open(containers, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Whoever makes a container holds it.
            fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (containers / "lock").unlink(missing_ok=True)
            containers.rmdir()
        finally:
            os.close(gate)


def _remove_marked(folder: Path) -> None:
    """Remove a directory of which only the marker is left."""
    if folder.is_dir() and not _names(folder):
        for path in folder.iterdir():
            path.unlink()
        with suppress(OSError):  # a mount point, or somebody has just begun to fill it
            folder.rmdir()


def _names(folder: Path) -> set[str]:
    """The names in a directory, without those of markers."""
    return {name for name in os.listdir(folder) if not is_marker(name)} if folder.is_dir() else set()


def _refuse_if_busy(folder: Path) -> None:
    """A lock that somebody holds in a directory of locks is an error: what it protects must not be taken away."""
    locks = Locks(folder)
    for path in sorted(folder.glob("*")):
        with locks.try_hold(path.name) as free:
            if not free:
                raise MereError(
                    f"somebody is busy with what is to be removed: {path} is locked",
                    hint="wait until the other run has ended, or stop it; then clean again",
                )
