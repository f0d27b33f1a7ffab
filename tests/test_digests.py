"""The recorded sums: a change is noticed, named, and recorded when asked."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mere_helpers.config import Config, load_config
from mere_helpers.errors import DifferenceError, RecipeError
from mere_helpers.planning.recipe import load_recipes
from mere_helpers.store.store import Entry, Store
from mere_helpers.verify.digests import Digests, changes, check, digests_of, recorded_digests, update

from .rooms import write_package

FOUND = Digests({"zlib.tar.gz": "a" * 64}, {"zlib-1-1-x86_64.pkg.tar.zst": "b" * 64})


def test_what_is_written_is_read(config: Config) -> None:
    assert update(config, FOUND) == [
        "source zlib.tar.gz: not recorded",
        "package zlib-1-1-x86_64.pkg.tar.zst: not recorded",
    ]
    assert recorded_digests(config) == FOUND
    check(config, FOUND)
    assert update(config, FOUND) == []


def test_a_changed_package_is_named_with_both_sums(config: Config) -> None:
    update(config, FOUND)
    changed = Digests(FOUND.sources, {"zlib-1-1-x86_64.pkg.tar.zst": "c" * 64})
    with pytest.raises(DifferenceError) as caught:
        check(config, changed)
    assert f"zlib-1-1-x86_64.pkg.tar.zst: recorded {'b' * 64}, found {'c' * 64}" in str(caught.value)
    assert "digests --update" in caught.value.hint and "python -m mere_helpers vary zlib   #" in caught.value.hint
    assert update(config, changed) == [line.strip() for line in caught.value.message.splitlines()[1:]]


def test_a_changed_source_is_nothing_to_build_again(config: Config) -> None:
    update(config, FOUND)
    with pytest.raises(DifferenceError) as caught:
        check(config, Digests({"zlib.tar.gz": "c" * 64}, FOUND.packages))
    assert "digests --update" in caught.value.hint and "vary" not in caught.value.hint


def test_the_command_of_the_hint_shows_what_a_package_was_built_with(config: Config) -> None:
    update(config, FOUND)
    entries = config.store / "entries"
    file = write_package(entries / "key/out", "zlib", {".BUILDINFO": "installed = musl"})
    with pytest.raises(DifferenceError) as caught:
        check(config, Digests(FOUND.sources, {file.name: "c" * 64}))
    command = caught.value.hint[caught.value.hint.index("find ") :]
    assert subprocess.run(command, shell=True, capture_output=True, text=True).stdout == "installed = musl"


def test_nothing_in_a_name_runs_when_the_hint_is_pasted(config: Config, tmp_path: Path) -> None:
    update(config, FOUND)
    name = f"zlib;touch {tmp_path}/pwned;-1-1-x86_64.pkg.tar.zst"
    with pytest.raises(DifferenceError) as caught:
        check(config, Digests(FOUND.sources, {name: "c" * 64}))
    lines = caught.value.hint.splitlines()
    commands = [line[line.index(start) :] for line, start in ((lines[1], "python -m"), (lines[2], "find "))]
    for command in commands:
        subprocess.run(
            ["sh", "-c", command.replace("python -m mere_helpers", "echo")], capture_output=True, check=False
        )
    assert not (tmp_path / "pwned").exists()


def test_what_is_gone_or_new_is_named() -> None:
    assert changes(FOUND, Digests({}, {**FOUND.packages, "new": "d" * 64})) == [
        "source zlib.tar.gz: recorded, and no longer there",
        "package new: not recorded",
    ]


@pytest.mark.parametrize("text", ["[sources", "[sources]\n", "sources = 1\npackages = 2\n"])
def test_a_record_that_cannot_be_read_is_refused_and_can_be_written_anew(config: Config, text: str) -> None:
    path = config.recipes / "digests.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match="cannot read recipes/digests"):
        recorded_digests(config)
    update(config, FOUND)
    assert recorded_digests(config) == FOUND


def test_sums_come_from_pins_and_from_the_store(config: Config, add_package: Callable[..., Path]) -> None:
    def produce(folder: Path) -> dict:
        (folder / "out/zlib-1-1-x86_64.pkg.tar.zst").write_text("a package")
        return {}

    entry: Entry = Store(config).add("rebuild/zlib", "key", {}, produce)
    found = digests_of(load_recipes(config).values(), [entry])
    assert set(found.sources) == {"zlib-1.0.tar.gz", "make_4.4.1.orig.tar.xz"}
    assert set(found.packages) == {"zlib-1-1-x86_64.pkg.tar.zst"}


def test_the_record_of_the_checkout_names_the_sources_of_the_recipes() -> None:
    config = load_config()
    assert recorded_digests(config).sources == digests_of(load_recipes(config).values(), []).sources


def test_the_record_of_the_checkout_names_the_packages_of_the_recipes() -> None:
    config = load_config()
    recipes = load_recipes(config).values()
    named = {file.rsplit("-", 1)[0] for file in recorded_digests(config).packages}
    assert named == {f"{package}-{recipe.version}" for recipe in recipes for package in recipe.packages}
