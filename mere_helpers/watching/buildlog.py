"""The log of a build, read while it grows: which phase it has come to, its last lines, the lines one looks for."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path

#: Lines that are kept of a log, and searched.
KEPT = 5000

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
        The last ones, `KEPT` at most.
    """

    def __init__(self, path: Path, since: float) -> None:
        self._path, self._since = path, since
        self._file, self._place, self._rest = -1, 0, ""
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
                    self._file, self._place, self._rest = state.st_ino, 0, ""
                    self.lines.clear()
                file.seek(self._place)
                data = file.read()
        except OSError:
            return
        self._place += len(data)
        *lines, self._rest = (self._rest + data.decode(errors="replace")).split("\n")
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
