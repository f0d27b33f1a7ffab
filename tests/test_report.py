"""Tables and texts as cells show them."""

from __future__ import annotations

import pytest

from mere_helpers.press.table import Table, Text
from mere_helpers.text import size


def test_a_table_is_aligned_and_numbers_stand_at_the_right() -> None:
    table = Table(("package", "size"), (("musl", "0.9 MiB"), ("gcc", "110.0 MiB")), note="Two.")
    assert repr(table).splitlines() == [
        "package       size",
        "-------  ---------",
        "musl       0.9 MiB",
        "gcc      110.0 MiB",
        "Two.",
    ]


def test_an_empty_table_still_shows_its_columns() -> None:
    assert repr(Table(("file",), ())) == "file\n----"


def test_html_is_escaped() -> None:
    html = Table(("<a>",), (("b & c",),), note="<n>")._repr_html_()
    assert "&lt;a&gt;" in html
    assert "b &amp; c" in html
    assert "<n>" not in html


def test_text_shows_itself() -> None:
    text = Text("a < b")
    assert repr(text) == "a < b"
    assert text._repr_html_() == "<pre>a &lt; b</pre>"


def test_text_in_a_language_is_highlighted() -> None:
    pytest.importorskip("pygments")
    html = Text("for x in a; do :; done", "bash")._repr_html_()
    assert "<span" in html
    assert html == Text("for x in a; do :; done", "bash")._repr_html_()


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (100_000, "97.7 KiB"),
        (943_718, "0.9 MiB"),
        (500 << 20, "500.0 MiB"),
        (3 << 30, "3.0 GiB"),
    ],
)
def test_sizes(n: int, text: str) -> None:
    assert size(n) == text


def test_a_front_end_does_not_break_the_lines_of_code(request: pytest.FixtureRequest) -> None:
    code = Text("for x in a; do :; done", "bash")
    committed = code._repr_html_()
    request.getfixturevalue("front_end")
    shown = code._repr_html_()
    assert "white-space: pre;" in shown and "white-space" not in committed
    assert shown.replace("white-space: pre; overflow-x: auto; ", "") == committed


def test_neither_a_table_nor_a_text_can_command_a_terminal_or_a_page() -> None:
    hostile = "a\x1b]0;title\x07\x9b\u202eb\tc"
    table = Table((hostile, "size"), ((hostile, "1 B"),), note=hostile)
    shown = [repr(table), table._repr_html_(), repr(Text(hostile)), Text(hostile)._repr_html_()]
    shown.append(Text(hostile, "bash")._repr_html_())
    for text in shown:
        assert all(letter.isprintable() or letter in "\n\t" for letter in text)
        assert "c" in text
    assert repr(Text(hostile)) == "a␛]0;title␇��b\tc"
    plain = Table(("file", "size"), (("a\x07b", "1 B"), ("abc", "2 B")))
    assert len(set(map(len, repr(plain).splitlines()))) == 1, "columns stay aligned"
