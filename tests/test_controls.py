"""The widgets behind the words: what they show when something is chosen, pressed or typed."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mere_helpers.config import Config, load_config
from mere_helpers.errors import BuildError
from mere_helpers.reading import controls


def test_the_picker_shows_a_recipe_and_its_parts() -> None:
    widget = controls.picker_widget(load_config(), "packages/zlib")
    (which, part), about, text = widget.children[0].children, *widget.children[1:]
    assert part.value == "the whole recipe" and "pkgname" in text.value
    # Whatever is long, the lists stay in sight.
    assert text.layout.overflow == "auto" and text.layout.max_height
    assert "1.3.1" in about.value and "asked for by" in about.value and "sha256" in about.value
    part.value = "package"
    assert "pkgname" not in text.value and "package" in text.value
    which.value = "packages/busybox"
    assert part.value == "the whole recipe" and "pkgname" in text.value
    part.value = "packages/busybox/config"
    assert "CONFIG_" in text.value
    part.value = "its sources"
    assert "sha256sums" in text.value


def test_the_explorer_draws_what_is_chosen() -> None:
    widget = controls.explorer_widget(load_config(), "packages/musl")
    (which, deep), picture = widget.children[0].children, widget.children[1]
    which.value = "cross/gcc"
    assert "cross/gcc needs" in picture.value and "<svg" in picture.value
    near = picture.value.count("<text") + picture.value.count("<g id=")
    deep.value = True
    assert picture.value.count("<text") + picture.value.count("<g id=") > near


def test_the_board_looks_again_when_it_is_asked_to(config: Config) -> None:
    widget = controls.board_widget(config)
    buttons, summary, shelf, details = widget.children
    refresh = buttons.children[0]
    assert "2 missing" in summary.value and "zlib-1.0.tar.gz" in details.value
    shelf.value = "packages"
    assert "hello" in details.value
    (config.store / "failed/packages-hello").mkdir(parents=True)
    refresh.click()
    assert shelf.value == "packages" and "failed" in details.value
    (config.recipes / "packages/zlib/PKGBUILD").write_text("pkgname=(\n")
    refresh.click()
    assert "RecipeError" in summary.value and "Traceback" not in summary.value


def test_the_console_shows_what_was_printed_and_what_failed(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, turn = [], threading.Event()

    def answer(config: Config, command: str, layers: Any, binds: Any, *, stop: threading.Event) -> str:
        asked.append((command, layers))
        turn.wait(20)
        if command == "false":
            raise BuildError("status 1")
        return "<1>\n2"

    monkeypatch.setattr(controls, "run_in_container", answer)
    widget = controls.console_widget(config, "zlib", [Path("/layer")], [])
    (line, halt), said = widget.children[1].children, widget.children[2]

    def enter(text: str) -> None:
        # As a front end does: the key first, and then the text.
        line._handle_msg({"content": {"data": {"method": "custom", "content": {"event": "submit"}}}, "buffers": []})
        line.value = text

    for command, expected in (("seq 2", "$ seq 2\n&lt;1&gt;\n2"), ("false", "$ false\nstatus 1")):
        turn.clear()
        before = len(asked)
        enter(command)
        end = time.monotonic() + 20
        while len(asked) == before and time.monotonic() < end:
            time.sleep(0.01)
        # It can be typed into all the while, and what is entered too early stays there.
        assert (line.disabled, halt.disabled, line.value) == (False, False, "")
        enter("early")
        turn.set()
        for thread in threading.enumerate():
            if thread.name == "console":
                thread.join(20)
        assert expected in said.value and halt.disabled and line.value == "early"
    assert asked == [("seq 2", [Path("/layer")]), ("false", [Path("/layer")])]
