"""Directories as data: what is in them, the hash over all of it, and how they are removed."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    errno.ENAMETOOLONG: "set MERE_STORE to a shorter path",
}

#: The most that a path in a listing may have, in directories and in bytes. The kernel takes 4,096 bytes, with the
#: path of the store; configure scripts that try how deep directories can be nested leave more.
DEEPEST, LONGEST = 200, 3000

#: Directories that are entered one within another. What is deeper is moved to the top first, so that neither recursion
#: nor open files nor the length of a path have a limit that a build could reach.
_DEPTH = 50

#: How often a directory is looked at again in which somebody else makes new names.
_ROUNDS = 100


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
        Something is neither file, folder nor symbolic link, or is nested too deep.
    """
    found: dict[str, dict] = {"outputs": {}, "links": {}, "folders": {}}
    # A list of our own in place of recursion, whose depth a build could choose.
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        for name in os.listdir(tree / folder):
            relative = os.path.join(folder, name)
            if relative.count("/") >= DEEPEST or len(os.fsencode(relative)) > LONGEST:
                raise StoreError(
                    f"a path is deeper than {DEEPEST} directories or longer than {LONGEST} bytes: {relative[:60]}…",
                    hint="let the recipe not make it, or remove it",
                )
            path = tree / relative
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                found["links"][relative] = os.readlink(path)
            elif stat.S_ISDIR(status.st_mode):
                found["folders"][relative] = stat.S_IMODE(status.st_mode)
                waiting.append(relative)
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
    """Remove a directory, also one whose directories were made read-only; none there is fine.

    Only directories are made writable, never files, which may have another name elsewhere. Links are not followed.

    Raises
    ------
    OSError
        Something in it is not ours to remove.
    """
    if path.is_symlink() or not path.is_dir():
        return
    rounds = 0
    with suppress(FileNotFoundError):  # somebody else may be removing the same directory
        while True:
            top = _open(str(path))
            try:
                moved = _empty(top, top, _DEPTH)
            finally:
                os.close(top)
            try:
                path.rmdir()
                return
            except OSError as error:
                rounds += not moved
                if error.errno != errno.ENOTEMPTY or rounds == _ROUNDS:
                    raise
                if not moved:
                    # Somebody else who removes the same tree may be moving names to the top.
                    time.sleep(0.05)


def digest(meta: dict) -> str:
    """The hash over a listing: one line a name, so that it can be computed again by hand."""
    lines = [f"file {about['mode']:04o} {about['sha256']} {name}" for name, about in meta["outputs"].items()]
    lines += [f"link {target} {name}" for name, target in meta["links"].items()]
    lines += [f"folder {mode:04o} {name}" for name, mode in meta["folders"].items()]
    return hashlib.sha256("\n".join(sorted(lines)).encode(errors="surrogateescape")).hexdigest()


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


def reserve_bytes(folder: Path) -> int:
    """How much of a disk builds leave free to store what is finished: 512 MiB, or a twentieth of a small one."""
    return min(512 << 20, shutil.disk_usage(folder).total // 20)


def full_or(folder: Path, hint: str) -> str:
    """What to do about something that failed: `FULL` where the disk of `folder` is full, else `hint`."""
    return FULL if is_full(folder) else hint


def _empty(folder: int, top: int, depth: int) -> bool:
    """Remove all that is in an open directory; says whether something is left that was moved to the top."""
    moved = False
    for name in os.listdir(folder):
        with suppress(FileNotFoundError):
            try:
                os.unlink(name, dir_fd=folder)
            except IsADirectoryError:
                # Opened also to be moved: that takes the right to write into it.
                inner = _open(name, folder)
                try:
                    if depth:
                        moved |= _empty(inner, top, depth - 1)
                    else:
                        os.rename(name, secrets.token_hex(16), src_dir_fd=folder, dst_dir_fd=top)
                        moved = True
                        continue
                finally:
                    os.close(inner)
                _remove_empty(name, folder)
    return moved


def _remove_empty(name: str, folder: int) -> None:
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as error:
        # Somebody else is at work there: the next round sees it.
        if error.errno != errno.ENOTEMPTY:
            raise


def _open(name: str, folder: int | None = None) -> int:
    """Open a directory, and let ourselves read it and remove names from it."""
    kind = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        opened = os.open(name, os.O_RDONLY | kind, dir_fd=folder)
    except PermissionError:
        # One that may not be read can still be named, by a descriptor that follows no link.
        named = os.open(name, os.O_PATH | kind, dir_fd=folder)
        try:
            os.chmod(f"/proc/self/fd/{named}", 0o700)
        finally:
            os.close(named)
        opened = os.open(name, os.O_RDONLY | kind, dir_fd=folder)
    try:
        if os.fstat(opened).st_mode & 0o700 != 0o700:
            os.fchmod(opened, 0o700)
    except BaseException:
        os.close(opened)
        raise
    return opened


def _fail(error: OSError) -> None:
    raise error
