"""What reaches a front end: errors in words, and code in the colours of its editor."""

from __future__ import annotations

from mere_helpers.errors import BuildError
from mere_helpers.report import Text
from mere_helpers.watching.frontend import highlighted, html_of, printed


def test_an_error_is_shown_in_words() -> None:
    def fail() -> str:
        raise BuildError("no <good>", hint="try again")

    assert html_of(fail) == printed("BuildError: no <good>\nhint: try again")
    assert "ZeroDivisionError" in html_of(lambda: str(1 / 0))
    assert html_of(lambda: "fine") == "fine"


def test_a_window_does_not_squeeze_what_stands_in_it() -> None:
    assert "flex: none" in printed("1\n2", 1)


def test_code_has_the_colours_of_the_editor() -> None:
    html = highlighted(Text("echo '<b>'", "bash"))
    assert "--jp-mirror-editor-string-color" in html and "&lt;b&gt;" in html
