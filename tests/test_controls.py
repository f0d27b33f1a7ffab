"""The widgets behind the words: what they show when something is chosen, pressed or typed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mere_helpers.building.scheduler import run
from mere_helpers.config import Config, load_config
from mere_helpers.errors import BuildError
from mere_helpers.planning.plan import Plan, reachable
from mere_helpers.press.charts import neighbour_chart
from mere_helpers.press.widgets.html import html_of, printed
from mere_helpers.press.widgets.interactive import (
    board_widget,
    build_stock,
    console_widget,
    explorer_widget,
    picker_widget,
    relations,
    source_stock,
)
from mere_helpers.session import Session

from .conftest import sha256
from .test_schedule import Builders


def test_an_error_is_shown_in_words() -> None:
    def fail() -> str:
        raise BuildError("no <good>", hint="try again")

    assert html_of(fail) == printed("BuildError: no <good>\nhint: try again")
    assert "ZeroDivisionError" in html_of(lambda: str(1 / 0))
    assert html_of(lambda: "fine") == "fine"


def test_a_window_does_not_squeeze_what_stands_in_it() -> None:
    assert "flex: none" in printed("1\n2", 1)


def test_the_picker_shows_a_recipe_and_its_parts() -> None:
    widget = picker_widget(Session(load_config()), "packages/zlib")
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
    widget = explorer_widget(Session(load_config()).plan, "packages/musl")
    (which, deep), picture = widget.children[0].children, widget.children[1]
    which.value = "cross/gcc"
    assert "cross/gcc needs" in picture.value and "<svg" in picture.value
    near = picture.value.count("<text") + picture.value.count("<g id=")
    deep.value = True
    assert picture.value.count("<text") + picture.value.count("<g id=") > near


def test_the_board_looks_again_when_it_is_asked_to(config: Config) -> None:
    widget = board_widget(Session(config))
    buttons, summary, shelf, details = widget.children
    refresh, verify = buttons.children
    assert "2 missing" in summary.value and "zlib-1.0.tar.gz" in details.value
    shelf.value = "packages"
    assert "hello" in details.value
    (config.store / "failed/packages-hello").mkdir(parents=True)
    refresh.click()
    assert shelf.value == "packages" and "failed" in details.value
    _cached(config, "zlib")
    refresh.click()
    assert "1 there" in summary.value
    verify.click()
    assert "1 verified" in summary.value and not verify.disabled
    (config.recipes / "packages/zlib/PKGBUILD").write_text("pkgname=(\n")
    refresh.click()
    assert "RecipeError" in summary.value and "Traceback" not in summary.value


def test_the_console_shows_what_was_printed_and_what_failed() -> None:
    asked, turn = [], threading.Event()

    def answer(command: str, stop: threading.Event) -> str:
        asked.append(command)
        turn.wait(20)
        if command == "false":
            raise BuildError("status 1")
        return "<1>\n2"

    widget = console_widget("zlib", answer)
    (line, halt), said = widget.children[1].children[0].children, widget.children[1].children[1]

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
    assert asked == ["seq 2", "false"]


def test_what_follows_from_the_rest_is_left_out(config: Config) -> None:
    needs = relations(Plan.from_recipes(config))
    # Its container holds musl and base-layout and the tools, too; gcc needs all of these already.
    assert needs["packages/hello"] == ("packages/gcc",)
    assert needs["cross/make"] == ()
    assert not [id for id in needs if id.startswith("rebuild/")]
    for number, id in enumerate(needs):
        assert all(list(needs).index(needed) < number for needed in needs[id])


def test_nothing_is_lost(config: Config) -> None:
    plan = Plan.from_recipes(config)
    needs = relations(plan)
    for id in needs:
        assert reachable(needs[id], needs.__getitem__) == set(plan.closure([id])) - {id}


def test_the_picture_shows_neighbours_or_all() -> None:
    needs = {"a": (), "b": ("a",), "c": ("b",), "d": ("c",), "packages/e": ("d",)}
    near = neighbour_chart(needs, "c", deep=False)
    deep = neighbour_chart(needs, "c", deep=True)
    follows = "and what follows from that"
    assert near.text == f"c needs 2 builds: b, {follows}. It is needed by 2 builds: d, {follows}."
    assert [name in near.svg for name in (">a<", ">b<", ">c<", ">d<", ">e<")] == [False, True, True, True, False]
    assert all(name in deep.svg for name in (">a<", ">b<", ">c<", ">d<", ">e<"))
    assert neighbour_chart(needs, "a", deep=False).text.startswith("a needs nothing. It is needed by 4 builds: b, and")


def _cached(config: Config, text: str) -> Path:
    """The source of zlib in the cache."""
    path = config.sources / sha256("zlib") / "zlib-1.0.tar.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_sources_are_missing_there_verified_or_changed(config: Config) -> None:
    now = Session(config)
    table = source_stock(now)
    assert table.rows[1] == ("zlib-1.0.tar.gz", "packages/zlib", "", "missing")
    assert table.note == "2 missing"
    _cached(config, "zlib")
    assert source_stock(now).rows[1][2:] == ("4 B", "there")
    assert source_stock(now, verify=True).rows[1][2:] == ("4 B", "verified")
    _cached(config, "zlip")
    assert source_stock(now, verify=True).rows[1][2:] == ("4 B", "changed")
    assert source_stock(now, verify=True).note == "1 missing, 1 changed; 4 B"


def test_a_file_of_two_recipes_is_counted_once(config: Config, add_package: Callable[..., Path]) -> None:
    more = f"source=(https://example.org/zlib-1.0.tar.gz)\nsha256sums=({sha256('zlib')})"
    add_package("minizip", depends="musl", more=more)
    table = source_stock(Session(config))
    assert table.rows[1][:2] == ("zlib-1.0.tar.gz", "packages/minizip, packages/zlib")
    assert table.note == "2 missing"


def test_builds_are_built_missing_or_failed(config: Config) -> None:
    now = Session(config)
    run(config, ["packages/musl"], plan=now.plan, builders=Builders())
    (config.store / "failed/packages-zlib").mkdir(parents=True)
    # Built since, and so no failure any more.
    (config.store / "failed/packages-musl").mkdir()
    tables = build_stock(now)
    assert list(tables) == ["cross", "temptools", "packages", "rebuild"]
    states = {row[0]: row[-1] for row in tables["packages"].rows}
    assert (states["musl"], states["zlib"], states["hello"]) == ("built", "failed", "missing")
    assert tables["cross"].rows == (("make", "", "10 B", "built"),)
    assert tables["cross"].note == "1 built; 10 B"


@pytest.mark.parametrize("verify", [False, True])
def test_looking_changes_nothing(config: Config, verify: bool) -> None:
    source_stock(Session(config), verify=verify)
    build_stock(Session(config))
    assert not config.store.exists()
