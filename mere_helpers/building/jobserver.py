"""Job tokens for all builds of a run: GNU make's jobserver, with a fifo for each build (make 4.4 and later).

A build can do with its fifo whatever it likes, so the fifo decides nothing: a thread of ours counts the tokens that it
has put into each, and never gives out more than the pool holds. A token that a build forged is seen by that build
alone, and is dropped; a token that a build keeps returns to the pool when the build ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import struct
import termios
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Self

from ..locks import claim

#: Seconds between two looks at the fifos, while tokens wait for somebody to take them; make's own jobs take longer.
_TICK_S = 0.01

#: The same when nobody has taken any for a while.
_SLOWEST_TICK_S = 0.05


class Lease:
    """What one build gets of the pool: a fifo of its own. `Jobserver.lease` makes it, and alone gives and takes tokens.

    Its `folder` contains the fifo and nothing else, and is mounted into the sandbox, read-only: a fifo on a read-only
    mount can still be written to, but not be replaced.
    """

    def __init__(self, folder: Path, tokens: int, stop: threading.Event) -> None:
        self.folder = folder
        self.stop = stop
        self.path = folder / "fifo"
        self._tokens = tokens
        folder.mkdir()
        # Inside a container the owner of the fifo is nobody; everybody may use it.
        folder.chmod(0o755)
        os.mkfifo(self.path)
        self.path.chmod(0o666)
        # Open for reading and writing, or the tokens would go when the last make closes it.
        self.file = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        #: Tokens that lie in the fifo or are with the build. This number is ours; no build can change it.
        self.given = 0

    def makeflags(self, inside: Path | str | None = None) -> str:
        """The value of MAKEFLAGS for a build that sees the fifo as `inside`, by default as we do."""
        return f"-j{self._tokens + 1} --jobserver-auth=fifo:{inside or self.path}"

    def count(self) -> int:
        """How many of the given tokens lie unread; what a build has put in beyond them is dropped."""
        found = struct.unpack("i", fcntl.ioctl(self.file, termios.FIONREAD, b"\0" * 4))[0]
        if found > self.given:
            self._read(found - self.given)
        return min(found, self.given)

    def withdraw(self, tokens: int) -> None:
        """Take back up to so many tokens."""
        self.given -= min(self.given, self._read(tokens))

    def offer(self, tokens: int) -> None:
        """Put in so many tokens, or fewer if the build has filled the fifo."""
        with suppress(BlockingIOError):
            self.given += os.write(self.file, b"+" * tokens)

    def close(self) -> None:
        """Take the fifo away."""
        os.close(self.file)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, most: int) -> int:
        with suppress(BlockingIOError):
            return len(os.read(self.file, most))
        return 0


class Jobserver:
    """A pool of tokens. A context manager: the fifos are there, in a new directory in `folder`, while it is open.

    Every make owns one job without asking and takes a token for each further one, so `n` builds in parallel run at
    most `n` + `tokens` jobs; `tokens` is usually one less than the machine has processors. Whoever waits for a build
    that uses this jobserver looks now and then at `stop`, which is set when the run is to end.

    Each unread token is in one fifo at a time. We cannot see whether a make waits for one, so a token that is not taken
    moves to the fifo of the next build, many times a second.
    """

    def __init__(self, folder: Path, tokens: int, stop: threading.Event | None = None) -> None:
        self.tokens = tokens
        self.stop = stop or threading.Event()
        self._folder, self._alive = claim(folder, "jobs-", _remove)
        self._guard = threading.Lock()
        self._leases: deque[Lease] = deque()
        self._made = 0
        self._thread: threading.Thread | None = None
        self._closed = False
        self._changed = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._written = select.epoll()
        # Told once for each time that something is written, not as long as something is there.
        self._written.register(self._changed, select.EPOLLIN | select.EPOLLET)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take all fifos away. No build may run any more."""
        if self._closed:
            return
        self._closed = True
        if self._thread:
            os.eventfd_write(self._changed, 1)
            self._thread.join()
        self._written.close()
        os.close(self._changed)
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._alive)

    @contextmanager
    def lease(self) -> Iterator[Lease]:
        """A fifo for one build. When the block ends, all that the build had of the pool is free again."""
        with self._guard:
            self._made += 1
            lease = Lease(self._folder / str(self._made), self.tokens, self.stop)
            self._leases.append(lease)
            self._written.register(lease.file, select.EPOLLIN | select.EPOLLET)
            self._share()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="jobserver", daemon=True)
                self._thread.start()
        os.eventfd_write(self._changed, 1)
        try:
            yield lease
        finally:
            with self._guard:
                self._leases.remove(lease)
                if not self._closed:
                    self._written.unregister(lease.file)
                lease.close()
                self._share()

    def free(self) -> int:
        """How many tokens no build has."""
        with self._guard:
            return self.tokens - sum(lease.given - lease.count() for lease in self._leases)

    def _work(self) -> None:
        idle, rotating, pause = 0, False, _TICK_S
        while not self._closed:
            # Tokens that nobody has taken move at the next tick; all else happens when a build returns one.
            self._written.poll(0 if rotating else None)
            with self._guard:
                before, idle = idle, self._share()
                rotating = idle > 0 and len(self._leases) > 1
            # However much a build writes, it gets no more attention than this.
            pause = min(pause * 1.2, _SLOWEST_TICK_S) if idle == before else _TICK_S
            time.sleep(pause)

    def _share(self) -> int:
        """Deal out the tokens that no build has, beginning with another build than before; tell how many."""
        unread = {lease: lease.count() for lease in self._leases}
        idle = self.tokens - sum(lease.given - unread[lease] for lease in self._leases)
        self._leases.rotate(-1)
        planned = Counter(islice(cycle(self._leases), max(idle, 0)))
        for lease in self._leases:
            lease.withdraw(max(0, unread[lease] - planned[lease]))
        for lease in self._leases:
            free = self.tokens - sum(lease.given for lease in self._leases)
            lease.offer(min(free, max(0, planned[lease] - unread[lease])))
        return idle


def _remove(folder: Path, alive: int) -> None:
    """Remove the fifos of a run that was killed."""
    shutil.rmtree(folder, ignore_errors=True)
    os.close(alive)
