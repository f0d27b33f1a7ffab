"""Disks of our own, in files: one that can be filled, and one whose power can fail. Only root can mount them."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

MIB = 1 << 20


class Disk:
    """A file system (ext4) in a file.

    Parameters
    ----------
    image : Path
        The file; made, and as large as what is written to it.
    folder : Path
        Made; where it is mounted.
    size : int
        In bytes.
    """

    def __init__(self, image: Path, folder: Path, size: int) -> None:
        self.image, self.folder = image, folder
        with open(image, "wb") as file:
            file.truncate(size)
        _run("mkfs.ext4", "-q", "-m", "0", image)
        folder.mkdir()
        self.mount()
        folder.chmod(0o755)

    def mount(self) -> None:
        """Make its files visible."""
        # Names reach the disk each second, in place of every fifth; what is in the files comes when it comes.
        _run("mount", "-o", "loop,commit=1", self.image, self.folder)

    def unmount(self) -> None:
        """The reverse; waits for those who have just died with a file open."""
        for _ in range(100):
            if subprocess.run(["umount", self.folder], capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        _run("umount", self.folder)

    @property
    def free(self) -> int:
        """Bytes that can still be written."""
        state = os.statvfs(self.folder)
        return state.f_bavail * state.f_frsize

    def fill(self, left: int) -> None:
        """Leave only so many bytes free, however much is written meanwhile."""
        with open(self.folder / "filler", "wb") as file:
            taken, more = 0, self.free - left
            while more >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), taken, more)
                    taken += more
                except OSError:
                    # Somebody was quicker, or a few blocks went for the filler's own map.
                    more //= 2

    def empty(self) -> None:
        """Free what `fill` has taken."""
        (self.folder / "filler").unlink(missing_ok=True)


class MortalDisk(Disk):
    """A disk whose power can fail.

    Its file lies on a second file system, which can be frozen. While that is frozen nothing reaches the file, so that a
    copy of it is what was on the disk in one instant: all that the upper file system had handed over by then, and
    nothing of what it still kept in memory. (A real disk may in addition lose what it was handed and not yet asked to
    make permanent; that would only be a test of ext4.)
    """

    def __init__(self, image: Path, folder: Path, size: int) -> None:
        self._below = Disk(image.with_name("below.img"), image.with_name("below"), size + 64 * MIB)
        self._copy = image
        super().__init__(self._below.folder / "disk.img", folder, size)

    def remember(self) -> None:
        """Keep what is on the disk now, as the power fails."""
        _run("fsfreeze", "--freeze", self._below.folder)
        try:
            _run("cp", "--sparse=always", self.image, self._copy)
        finally:
            _run("fsfreeze", "--unfreeze", self._below.folder)

    def restart(self) -> None:
        """Take away what is mounted, in which nothing runs any more, and mount what was remembered.

        Raises
        ------
        RuntimeError
            The file system itself has not survived, which is no fault of those who wrote to it.
        """
        self.unmount()
        _run("cp", "--sparse=always", self._copy, self.image)
        # 1: it had to be corrected, from its journal.
        done = subprocess.run(["e2fsck", "-p", self.image], capture_output=True, text=True)
        if done.returncode > 1:
            raise RuntimeError(f"e2fsck: {done.stdout[-500:]}")
        self.mount()

    def unmount_below(self) -> None:
        """Give back the second file system as well, after this one."""
        self._below.unmount()


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()}")
