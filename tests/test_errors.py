"""What errors say, and that they survive the way between processes."""

from __future__ import annotations

import pickle
from pathlib import Path

from mere_helpers.errors import BuildError, MereError


def test_message_hint_and_log_are_shown_below_each_other() -> None:
    error = BuildError("musl failed", hint="look at the log", log=Path("logs/musl.log"))
    assert str(error) == "musl failed\nhint: look at the log\nlog:  logs/musl.log"


def test_a_message_alone_stays_alone() -> None:
    assert str(MereError("no")) == "no"


def test_a_cell_shows_the_words_and_not_the_way_to_them() -> None:
    error = BuildError("musl failed\nline two", hint="look at the log")
    assert error._render_traceback_() == ["BuildError: musl failed", "line two", "hint: look at the log"]


def test_pickle_keeps_kind_hint_and_log() -> None:
    error = pickle.loads(pickle.dumps(BuildError("no", hint="do", log="x.log")))
    assert type(error) is BuildError
    assert (error.message, error.hint, error.log) == ("no", "do", "x.log")
