"""What errors say."""

from __future__ import annotations

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


#: What sets the clipboard, clears the screen, hides a line, or shows a name backwards.
HOSTILE = "\x1b]52;c;cm0=\x07 \x1b[2J \r \x9b31m \u202egpj.exe \u2066 \x7f \x00 \udcff"


def test_no_error_can_command_a_terminal() -> None:
    error = BuildError(f"musl failed:\n\t{HOSTILE}", hint=HOSTILE, log=f"logs/{HOSTILE}")
    for text in (str(error), "\n".join(error._render_traceback_())):
        assert all(letter.isprintable() or letter in "\n\t" for letter in text)
        assert text.encode() and "␛]52;c;cm0=␇" in text
    assert "failed:\n\t" in str(error), "tabs and newlines stay"


def test_ordinary_text_of_any_language_is_left_alone() -> None:
    text = "größer … 39\u00a0of 39 ✓ العربية 日本語"
    assert str(MereError(text)) == text
