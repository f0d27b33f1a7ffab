"""The end of a log, read from its end: a log may be larger than memory, and may be one endless line."""

from __future__ import annotations

import os
from pathlib import Path

#: Bytes that are read of a log at most, to show its end.
MOST = 64 << 10

#: Bytes before the end that are searched for a line at most: a gcc prints 20 MB.
_FARTHEST = 64 << 20


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a file, as text.

    Parameters
    ----------
    path : Path
        Usually a log. What is not UTF-8 in it is replaced.
    count : int
        How many lines at most; fewer where they are not within the last 64 KiB or, where more than 300 are asked for,
        within 200 bytes for each, up to 64 MiB.

    Returns
    -------
    list of str
        The first one is incomplete where a single line is longer than that.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    most = min(max(MOST, count * 200), _FARTHEST)
    with open(path, "rb") as file:
        start = max(0, file.seek(0, os.SEEK_END) - most)
        file.seek(start)
        data = file.read(most)
    lines = data.decode(errors="replace").splitlines()
    if start and len(lines) > 1:
        del lines[0]  # it began before what was read
    return lines[-count:]


def last_beginning(path: Path, prefix: str) -> str:
    """The last line of a file that begins with `prefix`, without it; an empty string if there is none.

    It is looked for from the end on, in 64 MiB at most, and read up to 4 KiB.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    wanted = b"\n" + prefix.encode()
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        first, place = max(0, end - _FARTHEST), end
        while place > first:
            place = max(first, place - MOST)
            file.seek(place)
            # A little more than a piece, because the words may lie across its end.
            piece = file.read(MOST + len(wanted))
            if place == 0:
                piece = b"\n" + piece
            found = piece.rfind(wanted)
            if found >= 0:
                file.seek(place + found + len(wanted) - (place == 0))
                return file.readline(4096).decode(errors="replace").rstrip("\r\n")
    return ""
