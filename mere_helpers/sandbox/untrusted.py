"""Reading a directory that a build has filled: as data, without ever following a link out of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import ContainerError


def open_file(root: Path, path: str) -> int:
    """Open a regular file for reading; the caller closes the descriptor.

    Parameters
    ----------
    root : Path
        The directory that `path`, plain names with slashes between them, starts from; itself to be trusted.

    Raises
    ------
    ContainerError
        It is not there or cannot be read, is not a regular file, or a link is on the way.
    """
    with _above(root, path) as (above, name):
        # Non-blocking, because a build may have left a fifo under that name.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=above)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise ContainerError(f"cannot read {path} of the container: not a regular file")
    return file


def check_folder(root: Path, path: str) -> None:
    """Raise as `open_file` if there is no directory under this path; what is in it may be closed to us."""
    with _above(root, path) as (above, name):
        status = os.stat(name, dir_fd=above, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        raise ContainerError(f"cannot read {path} of the container: not a folder")


def open_folder(root: Path, path: str) -> int:
    """Open a directory; as `open_file`."""
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in path.strip("/").split("/") if path.strip("/") else []:
        try:
            if name in ("", ".", ".."):
                raise ContainerError(f"cannot read {path} of the container: not a plain path")
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
        except OSError as error:
            raise ContainerError(f"cannot read {path} of the container: {error.strerror}") from error
        finally:
            os.close(here)
        here = below
    return here


@contextmanager
def _above(root: Path, path: str) -> Iterator[tuple[int, str]]:
    """The open directory that a path is in, and its name there; errors of the block are told as of the path."""
    folder, _, name = path.strip("/").rpartition("/")
    above = open_folder(root, folder)
    try:
        yield above, name
    except OSError as error:
        raise ContainerError(f"cannot read {path} of the container: {error.strerror}") from error
    finally:
        os.close(above)


def remove_attributes(tree: Path) -> None:
    """Remove the extended attributes of all files and directories in a tree that is ours, links aside."""
    waiting = [str(tree)]
    while waiting:
        path = waiting.pop()
        # What is nested too deep for a path is refused by whoever lists the tree.
        with suppress(OSError):
            for name in os.listxattr(path, follow_symlinks=False):
                mode = os.lstat(path).st_mode
                os.chmod(path, mode | stat.S_IWUSR)
                os.removexattr(path, name, follow_symlinks=False)
                os.chmod(path, mode)
            if os.path.isdir(path):
                waiting += [entry.path for entry in os.scandir(path) if not entry.is_symlink()]
