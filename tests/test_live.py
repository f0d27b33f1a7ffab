"""Progress: a panel where somebody looks, lines by a pipe, and otherwise nothing that could get into an output."""

from __future__ import annotations

from pathlib import Path

import pytest

from mere_helpers.building.timeline import Event
from mere_helpers.config import Config
from mere_helpers.reading import live

BUILT = Event("built", "cross/make", 9.0, 1, 2, 60.0)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(checkout=tmp_path, store=tmp_path, sources=tmp_path)


def test_nobody_looks_under_a_test() -> None:
    assert not live.front_end()


def test_lines_go_where_they_are_asked_to(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERE_PROGRESS", str(tmp_path / "lines"))
    with live.watching(config) as watch:
        watch(Event("found", "cross/gcc", 0.0, 1, 2, 0.0))
        watch(BUILT)
    (line,) = (tmp_path / "lines").read_text().splitlines()
    assert line.startswith("built   cross/make")


def test_a_shell_gets_lines_on_its_errors(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    with live.watching(config) as watch:
        watch(BUILT)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "cross/make" in captured.err


def test_a_kernel_without_a_front_end_gets_nothing(
    config: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_in_kernel", lambda: True)
    with live.watching(config) as watch:
        watch(BUILT)
    assert capsys.readouterr() == ("", "")


def test_the_words_of_the_panel() -> None:
    html = live.panel_html(1, 3, [("cross/<gcc>", 125.0)], 130.0, 61.0)
    assert "<b>1 of 3</b> done in 2 min 10 s, about 1 min 01 s to come" in html
    assert "cross/&lt;gcc&gt;" in html


def test_a_panel_follows_the_events(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "front_end", lambda: True)
    (config.logs).mkdir()
    (config.logs / "cross-make.log").write_text("one\ntwo <b>\n")
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    with live.watching(config) as watch:
        watch(Event("queued", "cross/make", 0.0, 0, 2, 60.0))
        assert not shown
        watch(Event("started", "cross/make", 0.0, 0, 2, 60.0))
        bar, words, log = shown[0].children
        assert "two &lt;b&gt;" in log.value
        assert "cross/make" in words.value
        watch(BUILT)
        assert (bar.value, bar.max) == (1, 2)
    assert log.value == ""
