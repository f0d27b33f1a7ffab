"""Files and directories: hashed, written as a whole or not at all, listed, removed; and how a long log ends."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from .errors import RecipeError, StoreError

_T = TypeVar("_T")

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

#: Directories that are entered one within another; what is deeper is moved to the top first.
_DEPTH = 50

#: How often a directory is looked at again in which somebody else makes new names.
_ROUNDS = 100

#: Bytes that are read of a log at most to show its end, and to look for a line in it: a gcc prints 20 MB.
MOST, _FARTHEST = 64 << 10, 64 << 20


def sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def written_aside(path: Path, mode: int = 0o644, *, replace: bool = True) -> Iterator[Path]:
    """A path to write to; at the end the file gets its name and mode, when the disk has it. An error leaves nothing.

    Nobody else can read it before. Without `replace`, a file that is there, maybe since a moment ago, stays.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        aside.chmod(mode)
        sync(aside)
        if replace:
            aside.rename(path)
        else:
            with suppress(FileExistsError):
                os.link(aside, path)
        sync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def write_atomically(path: Path, data: str | bytes, mode: int = 0o644, *, replace: bool = True) -> None:
    """Write a file so that there is all of it or nothing, also after a power failure; as `written_aside`."""
    with written_aside(path, mode, replace=replace) as aside:
        aside.write_bytes(data.encode() if isinstance(data, str) else data)


def read_record(path: Path, parse: Callable[[str], _T]) -> _T:
    """What a file that is committed with the book says, as `parse` reads it. RecipeError: it cannot be read."""
    name = f"{path.parent.name}/{path.name}"
    try:
        return parse(path.read_text())
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RecipeError(f"cannot read {name}: {error}", hint=f"git checkout {name}") from None


def write_record(path: Path, text: str) -> None:
    """Write a file that is committed with the book. RecipeError: it cannot be written, and is as it was."""
    try:
        write_atomically(path, text)
    except OSError as error:
        message = f"cannot write {path.parent.name}/{path.name}: {error.strerror}"
        raise RecipeError(message, hint=f"see df {path.parent}") from error


def listing(tree: Path, *, settle: bool = False) -> dict[str, dict]:
    """What is in a directory, by relative names; `settle` makes the files read-only and waits until the disk has them.

    These are ``outputs``, for each file its ``sha256``, ``size`` and ``mode``; ``links``, the target of each symbolic
    link; and ``folders``, the mode of each. StoreError: something is none of these, or is nested too deep.
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
            mode = stat.S_IMODE(status.st_mode)
            if stat.S_ISLNK(status.st_mode):
                found["links"][relative] = os.readlink(path)
            elif stat.S_ISDIR(status.st_mode):
                found["folders"][relative] = mode
                waiting.append(relative)
            elif stat.S_ISREG(status.st_mode):
                if settle:
                    mode &= ~0o222
                    path.chmod(mode)
                    sync(path)
                found["outputs"][relative] = {"sha256": sha256(path), "size": status.st_size, "mode": mode}
            else:
                raise StoreError(f"neither a file, a folder nor a link: {relative}", hint="let the recipe not make it")
    return found


def digest(meta: dict) -> str:
    """The hash over a listing: one line a name, so that it can be computed again by hand."""
    lines = [f"file {about['mode']:04o} {about['sha256']} {name}" for name, about in meta["outputs"].items()]
    lines += [f"link {target} {name}" for name, target in meta["links"].items()]
    lines += [f"folder {mode:04o} {name}" for name, mode in meta["folders"].items()]
    return hashlib.sha256("\n".join(sorted(lines)).encode(errors="surrogateescape")).hexdigest()


def remove_tree(path: Path) -> None:
    """Remove a directory, also one whose directories were made read-only; none there is fine.

    Only directories are made writable, never files, which may have another name elsewhere. Links are not followed.
    Neither recursion, open files nor the length of a path have a limit that a build could reach. OSError: something in
    it is not ours to remove.
    """
    if path.is_symlink() or not path.is_dir():
        return
    rounds = 0
    with suppress(FileNotFoundError):  # somebody else may be removing the same directory
        top = _open(str(path))
        try:
            while True:
                try:
                    while _empty(top, top, _DEPTH):
                        pass
                    return path.rmdir()
                except OSError as error:
                    # Somebody else who removes the same tree may be moving names to the top.
                    rounds += 1
                    if error.errno != errno.ENOTEMPTY or rounds == _ROUNDS:
                        raise
                time.sleep(0.05)
        finally:
            os.close(top)


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
                        os.rmdir(name, dir_fd=folder)
                    else:
                        os.rename(name, secrets.token_hex(16), src_dir_fd=folder, dst_dir_fd=top)
                        moved = True
                finally:
                    os.close(inner)
    return moved


def _open(name: str, folder: int | None = None) -> int:
    """Open a directory, and let ourselves read it and remove names from it."""
    kind = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(PermissionError):
        opened = os.open(name, os.O_RDONLY | kind, dir_fd=folder)
        if os.fstat(opened).st_mode & 0o700 == 0o700:
            return opened
        os.close(opened)
    # One that may not be read can still be named, by a descriptor that follows no link.
    named = os.open(name, os.O_PATH | kind, dir_fd=folder)
    try:
        os.chmod(f"/proc/self/fd/{named}", 0o700)
    finally:
        os.close(named)
    return os.open(name, os.O_RDONLY | kind, dir_fd=folder)


def sync(path: Path) -> None:
    """Wait until the disk has a file, or the names in a directory."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


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


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log as text, within 64 KiB or, where more than 300 are asked for, 200 bytes for each."""
    data, start = _end(path, min(max(MOST, count * 200), _FARTHEST))
    lines = data.decode(errors="replace").splitlines()
    if start and len(lines) > 1:
        del lines[0]  # it began before what was read
    return lines[-count:]


def last_beginning(path: Path, prefix: str) -> str:
    """The last line within 64 MiB before the end of a log that begins with `prefix`, without it and up to 4 KiB."""
    last = b""
    for found in re.finditer(b"^%b(.{0,4096})" % re.escape(prefix).encode(), _end(path, _FARTHEST)[0], re.MULTILINE):
        last = found[1]
    return last.decode(errors="replace").rstrip("\r")


def _end(path: Path, most: int) -> tuple[bytes, int]:
    """So many bytes from the end of a file, and where they begin in it."""
    with open(path, "rb") as file:
        start = max(0, file.seek(0, os.SEEK_END) - most)
        file.seek(start)
        return file.read(most), start
