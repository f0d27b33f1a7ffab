"""The reader's words show the same in every run; these need no build."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

import mere_helpers
from mere_helpers import expect_error, plan, run, show, sources, workarounds, write
from mere_helpers.building import schedule
from mere_helpers.config import Config, load_config
from mere_helpers.drawing.recorded import recorded_run
from mere_helpers.errors import BuildError, MereError, RecipeError, SourceError
from mere_helpers.fetching.source import verified_path
from mere_helpers.reading import vocabulary
from mere_helpers.reading.wanted import ids_of
from mere_helpers.recipes.plan import Plan
from mere_helpers.storage.store import Entry

pytestmark = pytest.mark.usefixtures("open_store")


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
    assert repr(write("note", "\nabc\n")) == "note: 1 line"
    assert repr(write("two", "a\n\n")) == "two: 1 line" and repr(write("two", "a\nb")) == "two: 2 lines"
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


@pytest.fixture
def small(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A book whose second chapter takes ``cross/make`` from the first and builds zlib, and a mirror for the sources."""
    (config.checkout / "notebooks").mkdir()
    files = {"01-one": 'build("cross/make")', "02-two": 'ready("02")\nrun("make", tools="cross/make")\nbuild("zlib")'}
    for name, source in files.items():
        cell = new_code_cell(source, id=f"{name[:2]}-02")
        nbformat.write(new_notebook(cells=[cell]), config.checkout / f"notebooks/{name}.ipynb")
    chapters = [{"file": f"notebooks/{name}"} for name in files]
    (config.checkout / "_toc.yml").write_text(yaml.safe_dump({"parts": [{"chapters": chapters}]}))
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/make_4.4.1.orig.tar.xz").write_text("make")
    (tmp_path / "mirror/zlib-1.0.tar.gz").write_text("zlib")
    config = replace(config, mirrors=(str(tmp_path / "mirror"),), offline=True)
    monkeypatch.setattr(vocabulary, "load_config", lambda: config)
    return config


def _without_building(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let no word build anything; what it would have built is added to the list."""
    asked: list[str] = []
    monkeypatch.setattr(vocabulary, "built", lambda config, graph, ids: asked.extend(ids))
    return asked


def test_what_the_builds_of_a_chapter_are_made_from_is_fetched_first(
    small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _without_building(monkeypatch)
    mere_helpers.ready("02", build=True)
    assert asked == ["cross/make"]
    graph = Plan.from_recipes(small)
    for id in ("cross/make", "packages/zlib"):
        for file in graph.recipes[id].sources:
            assert verified_path(small, file)


def test_sources_that_nobody_has_are_an_error_unless_somebody_else_has_built(
    small: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _without_building(monkeypatch)
    (tmp_path / "mirror/zlib-1.0.tar.gz").unlink()
    with pytest.raises(SourceError, match=r"no good copy of zlib-1\.0"):
        mere_helpers.ready("02", build=True)
    assert asked == []
    monkeypatch.setattr(schedule, "offered", lambda config, ids, plan: {"packages/zlib"})
    mere_helpers.ready("02", build=True)
    assert asked == ["cross/make"]


def test_who_has_substitutes_is_told_what_is_left_to_build(small: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mere_helpers.watching.live.front_end", lambda: True)
    minutes = recorded_run(load_config()).cpu_s(["cross/make"]) / 60
    monkeypatch.setattr(vocabulary, "recorded_run", lambda config: recorded_run(load_config()))
    for offered, words in (
        (set(), f"building takes about {minutes:.0f} minutes of processor time"),
        ({"cross/make"}, "there are substitutes for all of them, and nothing has to be built"),
    ):
        monkeypatch.setattr(schedule, "offered", lambda config, ids, plan, offered=offered: offered)
        with pytest.raises(MereError) as caught:
            mere_helpers.ready("02")
        assert caught.value.message.endswith(f" missing: cross/make; {words}")


def test_a_table_of_steps_and_packages_lists_both(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def entry(id: str, name: str) -> Entry:
        about = {"sha256": "a" * 64, "size": 1024, "mode": 0o644}
        return Entry(id, "k" * 64, config.store, {"outputs": {name: about}})

    entries = {
        "temptools/adjust": entry("temptools/adjust", "mere/specs"),
        "packages/zlib": entry("packages/zlib", "zlib-1.0-1-x86_64.pkg.tar.zst"),
    }
    monkeypatch.setattr(vocabulary, "load_config", lambda: config)
    monkeypatch.setattr(vocabulary, "built", lambda config, graph, ids: entries)
    step = ("temptools/adjust", "1", "", "")
    package = ("zlib", "1.0-1", "1.0 KiB", "a" * 64)
    for names, columns, rows in (
        (["temptools/adjust"], ("step", "files"), (step,)),
        (["zlib"], ("package", "version"), (package,)),
        (["zlib", "temptools/adjust"], ("step or package", "files or version"), (step, package)),
    ):
        table = mere_helpers.build(*names)
        assert (table.columns, table.rows) == ((*columns, "size", "sha256"), rows)
