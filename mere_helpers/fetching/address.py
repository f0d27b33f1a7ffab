"""Addresses in the settings: which kind they are, and what people may see of them, who need no password."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

# As much as can be user info: a password with a slash or a space is not valid there, and a secret all the same.
# A path that went through Path has only one slash left behind the colon.
_USER_INFO = re.compile(r"(?<=:/)(/?).*@")


def shown(address: str) -> str:
    """An address without user info, for logs, messages and tables; what is left out is marked by an ellipsis.

    >>> shown("https://me:secret@mirror.example/debian")
    'https://…@mirror.example/debian'
    """
    return _USER_INFO.sub(r"\1…@", address)


def is_web(place: str) -> bool:
    """Whether a place is an address of the web; nothing else of it is looked at, so that any text will do."""
    return place.lower().startswith(("http://", "https://"))


def local_path(place: str) -> Path:
    """The path that a place names which is no address of the web: as it is, or behind ``file://``."""
    if place.lower().startswith("file://"):
        # A host may be named between the slashes, and is ours.
        place = "/" + unquote(place[len("file://") :]).partition("/")[2]
    return Path(place).expanduser()
