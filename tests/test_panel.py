"""The panel of a cell that works: what it shows, and that its button does what interrupting the kernel does."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mere_helpers.building.costs import Event
from mere_helpers.config import Config
from mere_helpers.fetching.cache import FetchEvent
from mere_helpers.press.widgets.live import KEPT, BuildLog, BuildPanel, FetchPanel, Stopped, clock

pytestmark = pytest.mark.usefixtures("front_end")

STARTED = Event("started", "cross/make", 0.0, 0, 2, 60.0)
BUILT = Event("built", "cross/make", 9.0, 1, 2, 60.0)
MAKEPKG = """\
==> Making package: gcc 14.2.0-1 (Mon Nov 23 22:47:18 2026)
==> Retrieving sources...
  -> Found gcc.tar.gz
==> Validating source files with sha256sums...
==> Extracting sources...
==> Starting prepare()...
==> Starting build()...
make: Entering directory
==> Entering fakeroot environment...
==> Starting package_gcc-libs()...
==> Tidying install...
==> Checking for packaging issues...
==> Creating package "gcc-libs"...
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = Config(checkout=tmp_path, store=tmp_path, sources=tmp_path)
    config.logs.mkdir()
    return config


@pytest.fixture
def log(config: Config) -> Path:
    return config.logs / "cross-make.log"


def test_nothing_is_shown_before_something_is_built(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    build = BuildPanel(config)
    with build as tell:
        tell(Event("found", "cross/make", 0.0, 1, 1, 0.0))
    assert capsys.readouterr().out == "" and build.place is None


def test_a_panel_follows_the_events_and_the_log(config: Config, log: Path) -> None:
    log.write_text("==> build\nmake: two <b>\nmake: three\n")
    build = BuildPanel(config)
    build.tell(STARTED)
    above, builds, controls, hint, shown = build.box.children
    bar, words = above.children
    assert re.match(r"<b>0 of 2</b> done in \d+ s, about (59 s|1 min 00 s) to come", words.value)
    assert "cross/make" in builds.value and ">build<" in builds.value
    assert "make: two &lt;b&gt;\nmake: three" in shown.value
    assert (controls.layout.display, hint.layout.display) == ("", "none")
    controls.children[1].value = "THREE"
    assert "make: three" in shown.value and "two" not in shown.value
    assert "1 of the last 3 lines hold “THREE”" in shown.value
    build.tell(BUILT)
    assert (bar.value, bar.max) == (1, 2)
    emptied: list[Any] = []
    build.place = SimpleNamespace(update=lambda bundle, *, raw: emptied.append((bundle, raw)))
    build.close()
    assert (shown.value, builds.value, controls.layout.display) == ("", "", "none")
    assert emptied == [({"text/plain": ""}, True)]


def test_one_may_choose_whose_log(config: Config) -> None:
    for name in ("make", "gcc"):
        (config.logs / f"cross-{name}.log").write_text(f"this is {name}\n")
    with BuildPanel(config) as tell:
        build = tell.__self__
        tell(STARTED)
        tell(Event("started", "cross/gcc", 0.0, 0, 2, 60.0))
        choice, log = build.box.children[2].children[0], build.box.children[4]
        assert "this is gcc" in log.value
        choice.value = "cross/make"
        assert "this is make" in log.value
        tell(BUILT)
        assert "this is gcc" in log.value and choice.options == (choice.value, "cross/gcc")


def test_time_is_told_against_the_recorded_run(config: Config) -> None:
    cost = {"started": 10.0, "ended": 75.0, "cpu_s": 1.0, "peak_bytes": 1}
    (config.checkout / "book").mkdir()
    (config.checkout / "book/run.json").write_text(json.dumps({"cores": 2, "builds": {"cross/make": cost}}))
    build = BuildPanel(config)
    with build as tell:
        tell(STARTED)
        assert " s of about 1 min 05 s" in build.box.children[1].value
    assert (clock(9.4), clock(59.9), clock(130)) == ("9 s", "1 min 00 s", "2 min 10 s")


def test_the_button_interrupts_the_main_thread(config: Config) -> None:
    build = BuildPanel(config)
    with pytest.raises(Stopped, match="0 of 2 builds are finished"), build as tell:
        tell(STARTED)
        # As a subshell does: from another thread, while this one is busy.
        threading.Timer(0.2, build.cancel.click).start()
        threading.Event().wait(20)
    assert build.cancel.disabled


def test_a_late_press_hits_nothing(config: Config) -> None:
    build = BuildPanel(config)
    with build as tell:
        tell(STARTED)
    build.cancel.click()
    time.sleep(0.2)
    assert not build.cancel.disabled


def test_no_buttons_where_they_could_do_nothing(config: Config, front_end: SimpleNamespace) -> None:
    front_end.shell_channel_thread = None
    build = BuildPanel(config)
    with build as tell:
        tell(STARTED)
        assert (build.controls.layout.display, build.hint.layout.display) == ("none", "")
        assert "interrupt the kernel" in build.hint.value


def test_files_on_their_way() -> None:
    fetch = FetchPanel()
    with fetch as tell:
        tell(FetchEvent("cached", "a.tar", bytes=5))
        tell(FetchEvent("bytes", "b<.tar", "mirror", 1 << 20, 2 << 20))
        tell(FetchEvent("miss", "c.tar"))
        fetch.draw()
        words = fetch.box.children[0]
        assert "<b>1</b> files verified" in words.value and "b&lt;.tar" in words.value
        assert "1.0 MiB of 2.0 MiB" in words.value
    assert words.value == ""


def test_phases_of_makepkg(log: Path) -> None:
    followed, phases = BuildLog(log), {}
    followed.read()
    phases[followed.phase] = True
    for line in MAKEPKG.splitlines(keepends=True):
        with log.open("a") as file:
            file.write(line)
        followed.read()
        phases[followed.phase] = True
    assert list(phases) == [
        *("setting up", "fetching", "verifying", "unpacking", "prepare", "build", "package_gcc-libs"),
        *("tidying", "packing"),
    ]
    log.unlink()
    followed.read()
    assert followed.phase == "packing"


@pytest.mark.parametrize(
    ("line", "phase"),
    [("==> unpack gcc.tar.gz", "unpacking"), ("==> build", "build"), ("==> building is fun", "x"), (" ==> build", "x")],
)
def test_phases_of_a_step(line: str, phase: str, log: Path) -> None:
    log.write_text(f"{line}\nmore\n")
    followed = BuildLog(log, phase="x")
    followed.read()
    assert followed.phase == phase


def test_a_log_that_is_begun_again_is_read_from_its_beginning(log: Path) -> None:
    followed = BuildLog(log)
    log.write_text("one\ntwo\n")
    followed.read()
    log.rename(log.with_name("old"))
    log.write_text("three\n")
    followed.read()
    assert followed.lines == ["three"]


def test_the_log_of_an_earlier_build_is_not_read(log: Path) -> None:
    log.write_text("==> package\n")
    os.utime(log, (1, 1))
    followed = BuildLog(log)
    followed.read()
    assert (followed.phase, list(followed.lines)) == ("setting up", [])


def test_only_the_end_of_a_long_log_is_kept(log: Path) -> None:
    log.write_text("".join(f"{number}\n" for number in range(KEPT + 10)))
    followed = BuildLog(log)
    followed.read()
    assert (len(followed.lines), followed.lines[0]) == (KEPT, "10")


def test_a_log_that_outgrows_the_panel_is_skipped_to_its_end(log: Path) -> None:
    with log.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(0, os.SEEK_END)
        file.write(b"\n==> package\nlast\n")
    followed = BuildLog(log)
    followed.read()
    assert (followed.phase, followed.lines[-1]) == ("package", "last")
    assert sum(map(len, followed.lines)) <= 1 << 20


def test_a_long_line_is_cut_and_control_characters_are_replaced(config: Config, log: Path) -> None:
    log.write_text(f"größe \x1b[2J\n{'x' * 5000}\n")
    build = BuildPanel(config)
    with build as tell:
        tell(STARTED)
        shown = build.box.children[4].value
        assert "größe ␛[2J" in shown and len(shown) < 1000
