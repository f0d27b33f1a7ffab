"""The reader's words show the same in every run; these need no build."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_notebook

import mere_helpers
from mere_helpers import expect_error, plan, run, show, sources, workarounds, write
from mere_helpers.building.recorded import recorded_run
from mere_helpers.config import Config, load_config
from mere_helpers.errors import CommandError, MereError, RecipeError, SourceError
from mere_helpers.fetching.cache import verified_path
from mere_helpers.press.default import use
from mere_helpers.session import Session
from mere_helpers.store.store import Entry

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
    session = Session(load_config())
    order = session.plan.order()
    assert session.resolve(["musl", "cross/musl", "musl"]) == ["packages/musl", "cross/musl"]
    assert set(session.resolve(["cross"])) == {id for id in order if id.startswith("cross/")}
    assert set(session.resolve([])) == set(order)


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
    with pytest.raises(CommandError, match="status 3\nsaid this"):
        run("echo said this; exit 3")
    assert repr(expect_error(run, "echo no; false; echo never")) == "CommandError: status 1\nno"


def test_an_error_that_does_not_come_is_one() -> None:
    with pytest.raises(MereError, match="expected to fail"):
        expect_error(run, "true")


def test_workarounds_come_from_the_recipes() -> None:
    assert any(row[:2] == ("packages/busybox", "awk") for row in workarounds().rows)
    assert any(row[:2] == ("cross/gcc", "limits.h") for row in workarounds("musl").rows)
    assert not set(workarounds().rows) & set(workarounds("musl").rows)


@pytest.mark.usefixtures("front_end")
def test_a_chapter_whose_beginning_is_missing_says_what_to_call() -> None:
    with pytest.raises(
        MereError, match=r"of \d+ builds that this chapter takes .* are missing: cross/make, .* minutes"
    ) as caught:
        mere_helpers.ready("06")
    assert caught.value.hint == 'ready("06", build=True)'
    assert str(mere_helpers.ready("02")) == "All that this chapter takes from earlier ones is there."
    with pytest.raises(MereError, match="no chapter begins with 99"):
        mere_helpers.ready("99")


class Toy(Session):
    """A session that builds nothing and remembers what it was to build."""

    def __init__(self, config: Config, entries: dict[str, Entry] | None = None, offers: Iterable[str] = ()) -> None:
        super().__init__(config)
        self.asked: list[str] = []
        self.entries, self.offers = entries or {}, set(offers)
        use(self)

    def ensure_built(self, ids: Iterable[str], *, use: bool = True) -> dict[str, Entry]:
        self.asked += ids
        return self.entries

    def offered(self, ids: Iterable[str]) -> set[str]:
        return self.offers


@pytest.fixture
def small(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A book whose second chapter takes ``cross/make`` from the first and builds zlib, and a mirror for the sources."""
    (config.checkout / "notebooks").mkdir()
    files = {"01-one": ["cross/make"], "02-two": ["cross/make", "packages/zlib"]}
    for name, builds in files.items():
        notebook = new_notebook(metadata={"mere": {"builds": builds}})
        nbformat.write(notebook, config.checkout / f"notebooks/{name}.ipynb")
    chapters = [{"file": f"notebooks/{name}"} for name in files]
    (config.checkout / "_toc.yml").write_text(yaml.safe_dump({"parts": [{"chapters": chapters}]}))
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/make_4.4.1.orig.tar.xz").write_text("make")
    (tmp_path / "mirror/zlib-1.0.tar.gz").write_text("zlib")
    (config.checkout / "book").mkdir(exist_ok=True)
    shutil.copy(load_config().checkout / "book/run.json", config.checkout / "book")
    monkeypatch.setenv("MERE_CHECKOUT", str(config.checkout))
    monkeypatch.setenv("MERE_MIRRORS", str(tmp_path / "mirror"))
    monkeypatch.setenv("MERE_OFFLINE", "1")
    return load_config()


def test_what_the_builds_of_a_chapter_are_made_from_is_fetched_first(small: Config) -> None:
    toy = Toy(small)
    mere_helpers.ready("02", build=True)
    assert toy.asked == ["cross/make"]
    for id in ("cross/make", "packages/zlib"):
        for file in toy.plan.recipes[id].sources:
            assert verified_path(small, file)


def test_sources_that_nobody_has_are_an_error_unless_somebody_else_has_built(small: Config, tmp_path: Path) -> None:
    (tmp_path / "mirror/zlib-1.0.tar.gz").unlink()
    toy = Toy(small)
    with pytest.raises(SourceError, match=r"no good copy of zlib-1\.0"):
        mere_helpers.ready("02", build=True)
    assert toy.asked == []
    toy.offers = {"packages/zlib"}
    mere_helpers.ready("02", build=True)
    assert toy.asked == ["cross/make"]


@pytest.mark.usefixtures("front_end")
def test_who_has_substitutes_is_told_what_is_left_to_build(small: Config) -> None:
    minutes = recorded_run(small).cpu_s(["cross/make"]) / 60
    for offered, said in (
        (set(), f"building takes about {minutes:.0f} minutes of processor time"),
        ({"cross/make"}, "there are substitutes for all of them, and nothing has to be built"),
    ):
        Toy(small, offers=offered)
        with pytest.raises(MereError) as caught:
            mere_helpers.ready("02")
        assert caught.value.message.endswith(f" missing: cross/make; {said}")


def test_a_table_of_steps_and_packages_lists_both(small: Config) -> None:
    def entry(id: str, name: str) -> Entry:
        about = {"sha256": "a" * 64, "size": 1024, "mode": 0o644}
        return Entry(id, "k" * 64, small.store, {"outputs": {name: about}})

    entries = {
        "temptools/adjust": entry("temptools/adjust", "mere/specs"),
        "packages/zlib": entry("packages/zlib", "zlib-1.0-1-x86_64.pkg.tar.zst"),
    }
    Toy(small, entries)
    step = ("temptools/adjust", "1", "", "")
    package = ("zlib", "1.0-1", "1.0 KiB", "a" * 64)
    for names, columns, rows in (
        (["temptools/adjust"], ("step", "files"), (step,)),
        (["zlib"], ("package", "version"), (package,)),
        (["zlib", "temptools/adjust"], ("step or package", "files or version"), (step, package)),
    ):
        table = mere_helpers.build(*names)
        assert (table.columns, table.rows) == ((*columns, "size", "sha256"), rows)
