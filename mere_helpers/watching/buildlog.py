"""The log of a build, read while it grows: which phase it has come to, its last lines, the lines one looks for."""

from __future__ import annotations

import codecs
import os
import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from ..printable import printable

#: Lines that are kept of a log, and searched.
KEPT = 5000

#: Characters that are kept of a line: a build may print without ever ending one.
WIDEST = 4096

#: Bytes that are read at a time, and how many are read in one look; of more, only the last are looked at.
_PIECE, _MOST = 1 << 20, 16 << 20

_NO_PHASE_YET = "setting up"

#: What a build says when it comes to a new phase: makepkg, and our own `step.bash`.
_PHASES = (
    (re.compile(r"==> Starting ([\w.+-]+)\(\)"), r"\1"),
    (re.compile(r"==> (prepare|build|package)$"), r"\1"),
    (re.compile(r"==> (unpack |Extracting sources)"), "unpacking"),
    (re.compile(r"==> Retrieving sources"), "fetching"),
    (re.compile(r"==> Validating source files"), "verifying"),
    (re.compile(r"==> Tidying install"), "tidying"),
    (re.compile(r"==> Creating package"), "packing"),
)


class BuildLog:
    """The log of one build that runs.

    Parameters
    ----------
    path : Path
        It need not be there yet.
    since : float
        When the build began, in seconds since 1970; a log that was last written before belongs to another build.

    Attributes
    ----------
    phase : str
        Of makepkg ``prepare``, ``build``, ``package`` or ``package_NAME``; of ours ``setting up``, ``unpacking`` and
        the like.
    lines : deque of str
        The last ones, `KEPT` at most, each `WIDEST` long at most and without control characters.
    """

    def __init__(self, path: Path, since: float) -> None:
        self._path, self._since = path, since
        self._place: int
        self._begin(-1)
        self.phase = _NO_PHASE_YET
        self.lines: deque[str] = deque(maxlen=KEPT)

    def read(self) -> None:
        """Read what has come since the last time; a log that is not there, or not any more, changes nothing."""
        try:
            with self._path.open("rb") as file:
                state = os.fstat(file.fileno())
                if state.st_mtime < self._since:
                    return
                if state.st_ino != self._file:
                    # A package build removes the old log and begins another.
                    self._begin(state.st_ino)
                    self.lines.clear()
                # What has come meanwhile ends here, however fast the build prints.
                if self._place < state.st_size - _MOST:
                    self._begin(state.st_ino, state.st_size - _MOST)
                file.seek(self._place)
                while self._place < state.st_size and (data := file.read(min(_PIECE, state.st_size - self._place))):
                    self._place += len(data)
                    self._take(data)
        except OSError:
            return

    def _begin(self, file: int, place: int = 0) -> None:
        self._file, self._place, self._rest = file, place, ""
        # A character may lie across the end of what there is.
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def _take(self, data: bytes) -> None:
        first, *more = self._decoder.decode(data).split("\n")
        # Only the beginning of a long line is kept, so that to add to it costs what is added.
        lines = [self._rest + first[: WIDEST - len(self._rest)], *(line[:WIDEST] for line in more)]
        self._rest = lines.pop()
        lines = [printable(line) for line in lines]
        self.lines += lines
        self.phase = phase_of(lines, self.phase)


def phase_of(lines: Iterable[str], before: str = _NO_PHASE_YET) -> str:
    """The phase to which a build has come that printed these lines, after it was in the phase `before`."""
    for line in lines:
        if line.startswith("==> "):
            for pattern, phase in _PHASES:
                if match := pattern.match(line):
                    before = match.expand(phase)
    return before


def matching(lines: Iterable[str], words: str) -> list[str]:
    """The lines that hold these words, in capitals or not; all lines if there are none."""
    return [line for line in lines if words.lower() in line.lower()]


def clock(seconds: float) -> str:
    """A duration for people.

    >>> clock(130)
    '2 min 10 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def against(elapsed: float, expected: float | None) -> str:
    """How long something has taken, and how long it should take where that is known; both in seconds."""
    return clock(elapsed) if expected is None else f"{clock(elapsed)} of about {clock(expected)}"
