"""Which directories are ours: a marker says so, and everything else is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mere_helpers import cli
from mere_helpers.config import load_config
from mere_helpers.errors import StoreError
from mere_helpers.marker import CONTENTS, NAME, SOURCES, STORE, check, mark
from mere_helpers.store.store import Store

HASH = "ab" * 32

#: Directories of somebody, by the names in them.
FOREIGN = {
    "a home": (".bashrc", "Documents/letter", "work/thesis"),
    "downloads": ("photo.jpg",),
    "a home with a work and a key": ("work/thesis", "key/house"),
    "a project with logs": ("logs/server.log",),
    "a project with sources": ("sources/main.c", "work/notes"),
    "a project with layers and systems": ("layers/map", "systems/solar"),
    "a project with locks": ("locks/bike", "entries/1"),
    "a directory with hashes": (f"{HASH}/file", "letter"),
    "another program's cache": (NAME, "blobs/1"),
    "hidden files": (".profile",),
}


def make(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name.endswith("/") else path.write_text("precious")
    return folder


@pytest.mark.parametrize("kind", [STORE, SOURCES])
def test_a_new_or_empty_directory_gets_its_marker(tmp_path: Path, kind) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "a/new/one"):
        check(folder, kind)
        mark(folder, kind)
        first, second = (folder / NAME).read_text().splitlines()
        assert first == "Signature: 8a477f597d28d172789f06886806bc55" and second == kind.line
        (folder / "letter").write_text("put there later")
        mark(folder, kind)
        assert sorted(os.listdir(folder)) == [NAME, "letter"]


@pytest.mark.parametrize("names", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("kind", [STORE, SOURCES])
def test_what_holds_other_things_is_refused(tmp_path: Path, kind, names: tuple[str, ...]) -> None:
    folder = make(tmp_path / "my things", names)
    before = sorted(folder.rglob("*"))
    with pytest.raises(StoreError) as caught:
        mark(folder, kind)
    assert str(folder) in caught.value.message and names[0].partition("/")[0] in caught.value.message
    assert caught.value.hint.startswith(f"export {kind.variable}='{folder}/mere")
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "words", [["open"], ["build"], ["fetch"], ["run"], ["check"], ["clean"], ["clean", "--sources"]]
)
@pytest.mark.parametrize("variable", ["MERE_STORE", "MERE_SOURCES"])
def test_every_command_refuses_a_directory_of_somebody(
    variable: str, words: list[str], own_store: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    folder = make(tmp_path / "mine", ("Downloads/photo", "work/thesis", "key/house", "entries/1", "logs/x.log"))
    before = sorted(folder.rglob("*"))
    monkeypatch.setenv(variable, str(folder))
    assert cli.main(words) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"StoreError: {folder} is not a ") and f"hint: export {variable}=" in said
    assert sorted(folder.rglob("*")) == before and not own_store.exists()


STORES = {
    "after its first build": (f"entries/{HASH}/meta.json", "locks/cross-make", "letter"),
    "before its first build": (
        f"locks/{HASH}",
        "work/entries/",
        "apt/lists/",
        "logs/cross-make.log",
        f"sources/{HASH}/f",
    ),
    "after make setup": ("sources/",),
    "after a fetch": (f"sources/{HASH}/zlib.tar.gz", "sources/locks/x", "sources/partial/", "logs/fetch.log"),
    "in its first chapter": ("sources/", "work/book-1a2b3c4d/progress", "work/desk/gate/"),
    "with every directory that there is": tuple(f"{name}/" for name, pattern in CONTENTS.items() if pattern),
}


@pytest.mark.parametrize("names", STORES.values(), ids=STORES)
def test_a_store_of_an_earlier_edition_gets_the_marker_quietly(tmp_path: Path, names: tuple[str, ...]) -> None:
    folder = make(tmp_path / "store", names)
    mark(folder, STORE)
    assert STORE.line in (folder / NAME).read_text()
    mark(folder / "sources", SOURCES)
    assert SOURCES.line in (folder / "sources" / NAME).read_text()


def test_a_store_of_an_earlier_edition_can_be_read_where_it_cannot_be_written(tmp_path: Path) -> None:
    folder = make(tmp_path / "store", STORES["after its first build"])
    folder.chmod(0o555)
    script = "import sys; from pathlib import Path; from mere_helpers.marker import *; mark(Path(sys.argv[1]), STORE)"
    subprocess.run(["unshare", "--user", "--", sys.executable, "-c", script, folder], check=True)
    assert not (folder / NAME).exists()


def test_many_may_begin_the_same_store(tmp_path: Path) -> None:
    for number in range(20):
        folder = tmp_path / str(number)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _, folder=folder: mark(folder, STORE), range(8)))
        assert os.listdir(folder) == [NAME]


def test_a_marker_that_was_never_finished_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / f".{NAME}.1.2").touch()
    mark(tmp_path, STORE)
    assert (tmp_path / NAME).is_file()


def test_the_marker_of_the_store_is_not_that_of_the_sources(tmp_path: Path) -> None:
    make(tmp_path / "store", ("letter",))
    (tmp_path / "store" / NAME).write_text(f"Signature: 8a477f597d28d172789f06886806bc55\n{STORE.line}\n")
    check(tmp_path / "store", STORE)
    with pytest.raises(StoreError, match="is not a cache of sources of ours"):
        check(tmp_path / "store", SOURCES)


def test_the_first_build_makes_the_marker(own_store: Path) -> None:
    with Store(load_config()).lock("key"):
        assert STORE.line in (own_store / NAME).read_text()
