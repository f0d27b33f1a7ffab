"""The session of this process, which the words of the cells and the command line share."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import partial

from ..config import load_config
from ..session import Session
from .widgets.live import Panels

#: How a line of the runner's pipe begins that says what a chapter uses.
USES = "\1"

#: Ids in one such line.
_AT_ONCE = 40

_SESSIONS: list[Session] = []


def session() -> Session:
    """The session, made anew when the settings in the environment have changed."""
    config = load_config()
    if not _SESSIONS or _SESSIONS[0].config != config:
        use(Session(config, Panels(), on_use=partial(note, "builds")))
    return _SESSIONS[0]


def use(session: Session) -> None:
    """Let the words use this session, as long as its settings are those of the environment."""
    _SESSIONS[:] = [session]


def note(kind: str, ids: Iterable[str]) -> None:
    """Tell the runner of the book that this chapter uses these ids, in this way: ``builds`` or ``shows`` them."""
    ids = list(ids)
    if channel := os.environ.get("MERE_PROGRESS"):
        with open(channel, "w", encoding="utf-8") as file:
            # Lines that fit into a pipe at once: others write to it, too.
            for start in range(0, len(ids), _AT_ONCE):
                file.write(f"{USES}{json.dumps({kind: ids[start : start + _AT_ONCE]})}\n")
                file.flush()
