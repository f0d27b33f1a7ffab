"""One pool of job tokens for all builds at once: GNU make's jobserver, as a fifo (make 4.4 and later)."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import tempfile
import termios
import threading
from pathlib import Path
from types import TracebackType


class Jobserver:
    """A fifo full of tokens. A context manager: the fifo is there while it is open.

    Every make owns one job without asking and takes a token for each further one, so `n` builds side by side run at
    most `n` + `tokens` jobs.

    Parameters
    ----------
    folder : Path
        The fifo is made in a new folder in here.
    tokens : int
        How many to put in, usually one less than the machine has processors.
    stop : threading.Event, optional
        Set when the run is to end; whoever waits for a build that uses this jobserver looks at it now and then.

    Attributes
    ----------
    path : Path
        The fifo. Its folder holds nothing else and can be mounted into a container.
    """

    def __init__(self, folder: Path, tokens: int, stop: threading.Event | None = None) -> None:
        self.tokens = tokens
        self.stop = stop or threading.Event()
        folder.mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(prefix="jobs-", dir=folder)) / "fifo"
        # Inside a container the owner of the fifo is nobody; everybody may use it.
        self.path.parent.chmod(0o755)
        os.mkfifo(self.path)
        self.path.chmod(0o666)
        # Open for reading and writing, or the tokens would go when the last make closes it.
        self._file = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.refill()

    def __enter__(self) -> Jobserver:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    def __getstate__(self) -> dict:
        # For builds in other processes: they open the fifo by its path, and are stopped by their own executor.
        return {"tokens": self.tokens, "path": self.path}

    def __setstate__(self, state: dict) -> None:
        self.tokens, self.path = state["tokens"], state["path"]
        self.stop, self._file = threading.Event(), -1

    def close(self) -> None:
        """Take the fifo away."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self.path.unlink(missing_ok=True)
            self.path.parent.rmdir()

    def makeflags(self, inside: Path | str | None = None) -> str:
        """The value of MAKEFLAGS for a build.

        Parameters
        ----------
        inside : Path or str, optional
            Where the build sees the fifo, if that is not `path`.
        """
        return f"-j{self.tokens + 1} --jobserver-auth=fifo:{inside or self.path}"

    def free(self) -> int:
        """How many tokens nobody has."""
        return struct.unpack("i", fcntl.ioctl(self._file, termios.FIONREAD, b"\0" * 4))[0]

    def refill(self) -> None:
        """Put every token back. Only while nothing runs: a build that was killed never returned those it held."""
        missing = self.tokens - self.free()
        if missing > 0:
            os.write(self._file, b"+" * missing)
        elif missing < 0:
            os.read(self._file, -missing)


def remove_stale(folder: Path) -> None:
    """Remove the fifos of runs that were killed; one that somebody has open stays."""
    for path in folder.glob("jobs-*/fifo"):
        if not stat.S_ISFIFO(path.lstat().st_mode):
            continue
        try:
            # Opening a fifo for writing only works while another holds it open.
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            path.unlink(missing_ok=True)
            path.parent.rmdir()
