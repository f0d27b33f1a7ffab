"""The panel of a cell that works: what it shows, and that its button does what interrupting the kernel does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mere_helpers.building.timeline import Event
from mere_helpers.config import Config
from mere_helpers.fetching.source import FetchEvent
from mere_helpers.watching import panel
from mere_helpers.watching.panel import BuildPanel, FetchPanel

STARTED = Event("started", "cross/make", 0.0, 0, 2, 60.0)
BUILT = Event("built", "cross/make", 9.0, 1, 2, 60.0)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = Config(checkout=tmp_path, store=tmp_path, sources=tmp_path)
    config.logs.mkdir()
    return config


class _Place:
    """Where something is displayed: gone once it was emptied."""

    def __init__(self, displayed: list[Any]) -> None:
        self.displayed = displayed

    def update(self, bundle: dict[str, str], *, raw: bool) -> None:
        assert (bundle, raw) == ({"text/plain": ""}, True)
        self.displayed.append("emptied")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What a front end would have got; one that can be heard."""
    displayed: list[Any] = []

    def display(widget: Any, *, display_id: bool) -> _Place:
        displayed.append(widget)
        return _Place(displayed)

    monkeypatch.setattr(panel, "display", display)
    monkeypatch.setattr(panel, "answers", lambda: True)
    yield displayed


def test_nothing_is_shown_before_something_is_built(config: Config, shown: list[Any]) -> None:
    build = BuildPanel(config)
    build.tell(Event("found", "cross/make", 0.0, 1, 1, 0.0))
    build.close()
    assert shown == []


def test_a_panel_follows_the_events_and_the_log(config: Config, shown: list[Any]) -> None:
    (config.logs / "cross-make.log").write_text("==> build\nmake: two <b>\nmake: three\n")
    build = BuildPanel(config)
    build.tell(STARTED)
    above, builds, controls, hint, log = shown[0].widget.children
    bar, words = above.children
    assert "<b>0 of 2</b> done in 0 s, about 1 min 00 s to come" in words.value
    assert "cross/make" in builds.value and ">build<" in builds.value
    assert "make: two &lt;b&gt;\nmake: three" in log.value
    assert (controls.layout.display, hint.layout.display) == ("", "none")
    search = controls.children[1]
    search.value = "THREE"
    assert "make: three" in log.value and "two" not in log.value
    assert "1 of the last 3 lines hold “THREE”" in log.value
    build.tell(BUILT)
    assert (bar.value, bar.max) == (1, 2)
    build.close()
    assert (log.value, builds.value, controls.layout.display) == ("", "", "none")
    assert shown[1:] == ["emptied"]


def test_one_may_choose_whose_log(config: Config, shown: list[Any]) -> None:
    for name in ("make", "gcc"):
        (config.logs / f"cross-{name}.log").write_text(f"this is {name}\n")
    build = BuildPanel(config)
    build.tell(STARTED)
    build.tell(Event("started", "cross/gcc", 0.0, 0, 2, 60.0))
    choice, log = shown[0].widget.children[2].children[0], shown[0].widget.children[4]
    assert "this is gcc" in log.value
    choice.value = "cross/make"
    assert "this is make" in log.value
    build.tell(BUILT)
    assert "this is gcc" in log.value and choice.options == (choice.value, "cross/gcc")
    build.close()


def test_time_is_told_against_the_recorded_run(config: Config, shown: list[Any]) -> None:
    cost = {"started": 10.0, "ended": 75.0, "cpu_s": 1.0, "peak_bytes": 1}
    (config.checkout / "book").mkdir()
    (config.checkout / "book/run.json").write_text(json.dumps({"cores": 2, "builds": {"cross/make": cost}}))
    build = BuildPanel(config)
    build.tell(STARTED)
    assert "0 s of about 1 min 05 s" in shown[0].widget.children[1].value
    build.close()


def test_the_button_interrupts_the_main_thread(config: Config, shown: list[Any]) -> None:
    build = BuildPanel(config)
    build.tell(STARTED)
    cancel = shown[0].widget.children[2].children[-1]
    # As a subshell does: from another thread, while this one is busy.
    threading.Timer(0.2, cancel.click).start()
    with pytest.raises(KeyboardInterrupt):
        threading.Event().wait(20)
    assert cancel.disabled
    build.close()
    assert build.kept().startswith("0 of 2 builds are finished")


def test_a_late_press_hits_nothing(config: Config, shown: list[Any]) -> None:
    build = BuildPanel(config)
    build.tell(STARTED)
    build.close()
    build.cancel.click()
    time.sleep(0.2)
    assert not build.cancel.disabled


def test_no_buttons_where_they_could_do_nothing(config: Config, shown: list[Any], monkeypatch) -> None:
    monkeypatch.setattr(panel, "answers", lambda: False)
    build = BuildPanel(config)
    build.tell(STARTED)
    controls, hint = shown[0].widget.children[2:4]
    assert (controls.layout.display, hint.layout.display) == ("none", "")
    assert "interrupt the kernel" in hint.value
    build.close()


def test_files_on_their_way(shown: list[Any]) -> None:
    fetch = FetchPanel()
    fetch.tell(FetchEvent("cached", "a.tar", bytes=5))
    fetch.tell(FetchEvent("bytes", "b<.tar", "mirror", 1 << 20, 2 << 20))
    fetch.draw()
    words = shown[0].widget.children[0]
    assert "<b>1</b> files verified" in words.value and "b&lt;.tar" in words.value
    assert "1.0 MiB of 2.0 MiB" in words.value
    fetch.close()
    assert words.value == ""
