"""The reader's words show the same in every run; these need no build."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import mere_helpers
from mere_helpers import expect_error, plan, run, show, sources, workarounds, write
from mere_helpers.config import load_config
from mere_helpers.errors import BuildError, MereError, RecipeError
from mere_helpers.reading.desk import clear_desk
from mere_helpers.reading.wanted import ids_of
from mere_helpers.recipes.plan import Plan


@pytest.fixture(autouse=True)
def _empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERE_STORE", str(tmp_path / "store"))


def test_every_word_is_exported_and_explained() -> None:
    for name in mere_helpers.__all__:
        word = getattr(mere_helpers, name)
        assert callable(word)
        assert word.__doc__


def test_show_is_the_file_itself() -> None:
    recipes = load_config().recipes
    assert f"{show('packages/musl')}\n" == (recipes / "packages/musl/PKGBUILD").read_text()
    assert str(show("musl", "build")).startswith("build() {")
    assert show("bootstrap.toml").language == "toml"
    assert str(show("musl", "source")).splitlines()[-1].startswith("_debian=")


def test_show_leaves_the_recipes_alone() -> None:
    with pytest.raises(RecipeError):
        show("../README.md")


def test_names_are_ids_packages_and_stages() -> None:
    graph = Plan.from_recipes(load_config())
    assert ids_of(graph, ["musl", "cross/musl", "musl"]) == ["packages/musl", "cross/musl"]
    assert set(ids_of(graph, ["cross"])) == {id for id in graph.order() if id.startswith("cross/")}
    assert set(ids_of(graph, [])) == set(graph.order())


def test_plan_lists_what_comes_first_first() -> None:
    ids = [row[0] for row in plan("cross").rows]
    assert ids.index("cross/binutils") < ids.index("cross/gcc") < ids.index("cross/musl")
    assert [row[0] for row in plan("zlib").rows][-1] == "zlib"


def test_sources_name_their_publishers() -> None:
    rows = {row[0]: row for row in sources().rows}
    assert rows["musl-1.2.5.tar.gz"] == ("musl-1.2.5.tar.gz", "musl", "musl.libc.org, Debian musl")


def test_a_file_on_the_desk_is_there_for_the_next_command() -> None:
    assert repr(write("note", "\nabc\n")) == "abc"
    assert repr(run("cat note; pwd | grep -c desk")) == "abc\n1"


def test_commands_see_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-pg")
    assert repr(run("echo ${CFLAGS-none} $LC_ALL")) == "none C"


def test_a_command_that_fails_is_an_error() -> None:
    with pytest.raises(BuildError, match="status 3\nsaid this"):
        run("echo said this; exit 3")
    assert repr(expect_error(run, "echo no; false; echo never")) == "BuildError: status 1\nno"


def test_an_error_that_does_not_come_is_one() -> None:
    with pytest.raises(MereError, match="expected to fail"):
        expect_error(run, "true")


def test_the_desk_goes_with_its_process() -> None:
    config = load_config()
    run("true")
    assert (config.work / "desk" / str(os.getpid())).is_dir()
    clear_desk(config)
    assert not (config.work / "desk" / str(os.getpid())).exists()


def test_workarounds_come_from_the_recipes() -> None:
    assert any(row[:2] == ("packages/busybox", "awk") for row in workarounds().rows)
    assert any(row[:2] == ("cross/gcc", "limits.h") for row in workarounds("musl").rows)
    assert not set(workarounds().rows) & set(workarounds("musl").rows)


def test_a_chapter_whose_beginning_is_missing_says_what_to_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mere_helpers.watching.live.front_end", lambda: True)
    with pytest.raises(
        MereError, match=r"of \d+ builds that this chapter takes .* are missing: cross/make, .* minutes"
    ) as caught:
        mere_helpers.ready("06")
    assert caught.value.hint == 'ready("06", build=True)'
    assert str(mere_helpers.ready("02")) == "All that this chapter takes from earlier ones is there."
    with pytest.raises(MereError, match="no chapter begins with 99"):
        mere_helpers.ready("99")
