"""Text for people: sizes with a unit, and nothing in it that commands a terminal."""

from __future__ import annotations

import re

#: C0 and DEL without tab and newline, C1, marks and overrides of the writing direction, Unicode's line separators, and
#: halves of characters, as Python reads them from file names that are not UTF-8: printing one of those fails.
_UNSAFE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: str) -> str:
    """The text with every character replaced that could command a terminal or turn the direction of writing.

    What a build prints, and what its files are called, is upstream's choice: an escape sequence could set the
    clipboard or clear the screen. Tabs and newlines stay.

    >>> printable("a\\x1b]52;c;\\tb")
    'a\N{SYMBOL FOR ESCAPE}]52;c;\\tb'
    """
    return _UNSAFE.sub(_symbol, text)


def _symbol(match: re.Match[str]) -> str:
    """The picture that Unicode has for a control character of ASCII."""
    code = ord(match[0])
    return chr(0x2400 + code) if code < 0x20 else "\N{SYMBOL FOR DELETE}" if code == 0x7F else _REPLACEMENT


def size(n: int) -> str:
    """A number of bytes for people.

    MiB from a tenth of one up, so that most rows of a column share their unit and can be compared at a glance.

    >>> size(943718)
    '0.9 MiB'
    """
    for unit, factor, start in ("GiB", 1 << 30, 1 << 30), ("MiB", 1 << 20, (1 << 20) // 10), ("KiB", 1 << 10, 1 << 10):
        if n >= start:
            return f"{n / factor:.1f} {unit}"
    return f"{n} B"
