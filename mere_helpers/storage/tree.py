"""Folders as data: what is in them, the hash over all of it, copies by hard links."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoreError

#: What to do where no room is left.
FULL = "the disk is full: free some space and run again; everything finished is kept"
_NOT_OURS = "set MERE_STORE to a folder you can write to"
_HINTS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: _NOT_OURS,
    errno.EACCES: _NOT_OURS,
    errno.EPERM: _NOT_OURS,
    errno.EIO: "the disk reports errors: look at dmesg",
}


def listing(tree: Path, *, settle: bool = False) -> dict[str, dict]:
    """What is in a folder, by relative names.

    Parameters
    ----------
    tree : Path
        The folder.
    settle : bool, optional
        Also make the files read-only and wait until the disk has them.

    Returns
    -------
    dict
        ``outputs``: for each file its ``sha256``, ``size`` and ``mode``; ``links``: the target of each symbolic link;
        ``folders``: the mode of each folder.

    Raises
    ------
    StoreError
        Something is neither file, folder nor symbolic link.
    """
    found: dict[str, dict] = {"outputs": {}, "links": {}, "folders": {}}
    for folder, folders, files in os.walk(tree, onerror=_fail):
        for name in folders + files:
            path = Path(folder, name)
            relative = str(path.relative_to(tree))
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                found["links"][relative] = os.readlink(path)
            elif stat.S_ISDIR(status.st_mode):
                found["folders"][relative] = stat.S_IMODE(status.st_mode)
            elif stat.S_ISREG(status.st_mode):
                mode = stat.S_IMODE(status.st_mode)
                if settle:
                    mode &= ~0o222
                    path.chmod(mode)
                with open(path, "rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                    if settle:
                        os.fsync(file.fileno())
                found["outputs"][relative] = {"sha256": sha256, "size": status.st_size, "mode": mode}
            else:
                raise StoreError(f"neither a file, a folder nor a link: {relative}", hint="let the recipe not make it")
    return found


def remove_tree(path: Path) -> None:
    """Remove a folder, also one whose folders were made read-only; none there is fine."""

    def unlock(function: Callable, failed: str, why: tuple) -> None:
        # Somebody else may be removing the same folder.
        if isinstance(why[1], FileNotFoundError):
            return
        # Removing a name needs a writable folder, listing one a readable folder.
        for folder in (os.path.dirname(failed), failed):
            if not os.path.islink(folder) and os.path.isdir(folder):
                os.chmod(folder, 0o700)
        if function in (os.unlink, os.rmdir):
            function(failed)
        else:
            remove_tree(Path(failed))

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, onerror=unlock)


def digest(meta: dict) -> str:
    """The hash over a listing: one line a name, so that it can be computed again by hand."""
    lines = [f"file {about['mode']:04o} {about['sha256']} {name}" for name, about in meta["outputs"].items()]
    lines += [f"link {target} {name}" for name, target in meta["links"].items()]
    lines += [f"folder {mode:04o} {name}" for name, mode in meta["folders"].items()]
    return hashlib.sha256("\n".join(sorted(lines)).encode(errors="surrogateescape")).hexdigest()


def link_tree(source: Path, target: Path) -> list[Path]:
    """Add the files of one folder to another, by hard links.

    Parameters
    ----------
    source, target : Path
        Folders on the same file system.

    Returns
    -------
    list of Path
        The files in `source` that now have a second name.

    Raises
    ------
    FileExistsError
        The target has one of the names already, and it is not the same folder or link.
    """
    linked = []
    for folder, folders, files in os.walk(source, onerror=_fail):
        here = target / os.path.relpath(folder, source)
        here.mkdir(parents=True, exist_ok=True)
        for name in folders + files:
            old, new = Path(folder, name), here / name
            if old.is_symlink():
                if not (new.is_symlink() and os.readlink(new) == os.readlink(old)):
                    new.symlink_to(os.readlink(old))
            elif old.is_file():
                os.link(old, new)
                linked.append(old)
    return linked


def sync_folder(path: Path) -> None:
    """Wait until the disk has the names in a folder."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def disk_trouble() -> Iterator[None]:
    """Turn errors of the disk into a StoreError with a hint; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in _HINTS:
            raise
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        raise StoreError(f"cannot use the store: {error.strerror}{where}", hint=_HINTS[error.errno]) from error


def is_full(folder: Path) -> bool:
    """Whether so little room is left on a folder's disk that this may be why a build has failed."""
    return shutil.disk_usage(folder).free < 64 << 20


def _fail(error: OSError) -> None:
    raise error
