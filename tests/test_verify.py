"""`verify` reads everything in the store again."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mere_helpers import cli
from mere_helpers.config import Config
from mere_helpers.errors import StoreError
from mere_helpers.store.store import Entry, Store
from mere_helpers.verify.contents import CHECKS, Checked, check_entries, check_sources, verify

from .conftest import sha256
from .test_store import fill
from .test_tree import nest

KEY = "ab" * 32


@pytest.fixture
def entry(config: Config) -> Entry:
    store = Store(config)
    store.add("packages/b", "cd" * 32, {}, fill)
    for text in ("zlib", "make"):
        path = config.sources / sha256(text) / f"{text}.tar.gz"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return store.add("packages/a", KEY, {}, fill)


def problem(config: Config) -> tuple[str, str]:
    """The one thing that is wrong."""
    (found,) = [found for check in CHECKS for found in check(config).problems]
    with pytest.raises(StoreError) as caught:
        verify(config)
    assert caught.value.message.splitlines()[1:] == [f"  {found[0]}", f"      {found[1]}"]
    return found


def test_a_store_that_is_whole(config: Config, entry: Entry) -> None:
    assert verify(config) == [Checked("builds", 2, 10), Checked("source files", 2, 8), Checked("layers")]


def test_an_empty_store_is_whole_and_stays_unmade(config: Config) -> None:
    assert [part.count for part in verify(config)] == [0, 0, 0]
    assert not config.store.exists()


def _flip(entry: Entry) -> None:
    path = entry.tree / "bin/hello"
    path.chmod(0o644)
    path.write_text("hellp")
    path.chmod(0o444)


def _describe(entry: Entry) -> None:
    (entry.path / "meta.json").write_text("{}")


def _nest(entry: Entry) -> None:
    nest(entry.tree / "deep", 2000, "d")


DAMAGES: dict[str, tuple[Callable[[Entry], object], str]] = {
    "other bytes of the same length": (_flip, "the stored outputs of packages/a have changed: bin/hello"),
    "other permissions": (lambda entry: (entry.tree / "bin/hello").chmod(0o4444), "have changed: bin/hello"),
    "a missing file": (lambda entry: (entry.tree / "bin/hello").unlink(), "have changed: bin/hello"),
    "a file too many": (lambda entry: (entry.tree / "new").touch(), "have changed: new"),
    "a link too many": (lambda entry: (entry.tree / "new").symlink_to("x"), "have changed: new"),
    "a fifo": (lambda entry: os.mkfifo(entry.tree / "new"), "neither a file, a folder nor a link: new"),
    "no outputs": (lambda entry: entry.tree.rename(entry.path / "x"), "lacks"),
    "no description": (_describe, "has a damaged description"),
    "directories without end": (_nest, "a path is deeper than 200 directories"),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_each_damage_is_named_with_the_command_that_mends_it(
    config: Config, entry: Entry, damage: Callable[[Entry], object], words: str
) -> None:
    damage(entry)
    what, command = problem(config)
    assert words in what and KEY[:8] in what
    subprocess.run(["sh", "-ec", command], check=True)
    assert check_entries(config).count == 1
    verify(config)


def test_a_changed_source_is_named_with_the_command_that_mends_it(config: Config, entry: Entry) -> None:
    (config.sources / sha256("zlib") / "zlib.tar.gz").write_text("Zlib")
    what, command = problem(config)
    assert "zlib.tar.gz has changed" in what and command.startswith("python -m mere_helpers fetch packages/zlib ")


def test_a_changed_source_of_no_recipe_is_removed(config: Config, entry: Entry) -> None:
    digest = hashlib.sha256(b"old").hexdigest()
    (config.sources / digest).mkdir()
    (config.sources / digest / "old.tar").write_text("new")
    what, command = problem(config)
    assert "old.tar has changed" in what
    subprocess.run(["sh", "-ec", command], check=True)
    assert check_sources(config).problems == []


def test_the_command_says_what_it_has_read(own_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own_store / f"entries/{KEY}").mkdir(parents=True)
    (own_store / "locks").mkdir()
    assert cli.main(["verify"]) == 1
    assert f"rm -rf {own_store}/entries/{KEY}   # the next run builds it again" in capsys.readouterr().err
    (own_store / f"entries/{KEY}").rmdir()
    assert cli.main(["verify"]) == 0
    assert "Everything is what it was." in capsys.readouterr().out
