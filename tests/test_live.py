"""Progress: a panel where somebody looks, lines by a pipe, and otherwise nothing that could get into an output."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from mere_helpers import frontend
from mere_helpers.building.costs import Event
from mere_helpers.config import Config
from mere_helpers.press.widgets.live import Panels, Stopped, stoppable

BUILT = Event("built", "cross/make", 9.0, 1, 2, 60.0)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(checkout=tmp_path, store=tmp_path, sources=tmp_path)


def test_nobody_looks_under_a_test() -> None:
    assert not frontend.front_end()


def test_lines_go_where_they_are_asked_to(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERE_PROGRESS", str(tmp_path / "lines"))
    with Panels().builds(config) as watch:
        watch(Event("found", "cross/gcc", 0.0, 1, 2, 0.0))
        watch(BUILT)
    (line,) = (tmp_path / "lines").read_text().splitlines()
    assert line.startswith("built   cross/make")


def test_a_shell_gets_lines_on_its_errors(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    with Panels().builds(config) as watch:
        watch(BUILT)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "cross/make" in captured.err


def test_a_kernel_without_a_front_end_gets_nothing(
    config: Config, front_end: SimpleNamespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERE_HEADLESS", "1")
    with Panels().builds(config) as watch:
        watch(BUILT)
    assert capsys.readouterr() == ("", "")


def test_an_interrupt_says_what_is_kept(config: Config, front_end: SimpleNamespace) -> None:
    with pytest.raises(Stopped) as caught, Panels().builds(config) as watch:
        watch(BUILT)
        raise KeyboardInterrupt
    assert str(caught.value).startswith("1 of 2 builds are finished, and kept")
    (line,) = caught.value._render_traceback_()
    assert line == f"Stopped: {caught.value}"


def test_a_word_without_a_panel_is_stopped_in_one_line(request: pytest.FixtureRequest) -> None:
    @stoppable()
    def word(error: BaseException) -> None:
        raise error

    with pytest.raises(KeyboardInterrupt) as caught:
        word(KeyboardInterrupt())
    assert not isinstance(caught.value, Stopped)
    request.getfixturevalue("front_end")
    with pytest.raises(Stopped, match="Run the cell again"):
        word(KeyboardInterrupt())
    # Who was more exact is not contradicted.
    with pytest.raises(Stopped, match="1 of 2"):
        word(Stopped("1 of 2"))


def test_an_interrupt_of_a_shell_stays_what_it_is(config: Config) -> None:
    with pytest.raises(KeyboardInterrupt) as caught, Panels().builds(config):
        raise KeyboardInterrupt
    assert not isinstance(caught.value, Stopped)
