"""Folders as data."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mere_helpers.errors import StoreError
from mere_helpers.storage.trash import discard
from mere_helpers.storage.tree import digest, disk_trouble, link_tree, listing, remove_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "lib").mkdir(parents=True, mode=0o755)
    (tree / "lib" / "libc.so").write_text("library")
    (tree / "lib" / "libc.so").chmod(0o755)
    (tree / "lib" / "ld.so").symlink_to("libc.so")
    (tree / "usr").symlink_to(".")
    os.link(tree / "lib" / "libc.so", tree / "lib" / "libm.so")
    return tree


def test_listing_names_files_links_and_folders(tree: Path) -> None:
    found = listing(tree)
    assert found["outputs"].keys() == {"lib/libc.so", "lib/libm.so"}
    assert found["links"] == {"lib/ld.so": "libc.so", "usr": "."}
    assert found["folders"] == {"lib": 0o755}


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: (tree / "lib" / "libc.so").write_text("Library"),
        lambda tree: (tree / "lib" / "libc.so").chmod(0o555),
        lambda tree: (tree / "lib").chmod(0o700),
        lambda tree: (tree / "lib" / "empty").mkdir(),
        lambda tree: (tree / "usr").rename(tree / "local"),
        lambda tree: [(tree / "usr").unlink(), (tree / "usr").symlink_to("lib")],
    ],
)
def test_digest_sees_every_change(tree: Path, change) -> None:
    before = digest(listing(tree))
    assert digest(listing(tree)) == before
    change(tree)
    assert digest(listing(tree)) != before


def test_settled_files_cannot_be_written(tree: Path) -> None:
    assert listing(tree, settle=True)["outputs"]["lib/libc.so"]["mode"] == 0o555
    assert (tree / "lib" / "libc.so").stat().st_mode & 0o777 == 0o555


def test_names_need_not_be_text(tree: Path) -> None:
    Path(os.fsdecode(bytes(tree) + b"/\xff")).write_text("")
    assert digest(listing(tree))


def test_fifo_is_refused(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    with pytest.raises(StoreError, match="pipe"):
        listing(tree)


def test_link_tree_shares_files_and_merges_folders(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "lib").mkdir(parents=True)
    (other / "lib" / "libz.a").write_text("z")
    (other / "usr").symlink_to(".")
    target = tmp_path / "target"
    assert len(link_tree(tree, target)) == 2
    assert link_tree(other, target) == [other / "lib" / "libz.a"]
    assert sorted(os.listdir(target / "lib")) == ["ld.so", "libc.so", "libm.so", "libz.a"]
    assert (target / "lib" / "libc.so").samefile(tree / "lib" / "libc.so")


@pytest.mark.parametrize("name", ["lib/libc.so", "usr"])
def test_link_tree_refuses_to_hide_anything(tree: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "target"
    (target / "lib").mkdir(parents=True)
    (target / name).write_text("mine")
    with pytest.raises(FileExistsError):
        link_tree(tree, target)
    assert (target / name).read_text() == "mine"


def test_remove_tree_copes_with_locked_folders(tree: Path) -> None:
    (tree / "lib").chmod(0o000)
    tree.chmod(0o500)
    remove_tree(tree)
    assert not tree.exists()
    remove_tree(tree)


def test_discarded_folder_is_gone_at_once_and_its_files_soon(tree: Path, tmp_path: Path) -> None:
    discard(tree, tmp_path / "trash")
    assert not tree.exists()
    discard(tree, tmp_path / "trash")
    end = time.monotonic() + 10
    while list((tmp_path / "trash").iterdir()):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_remove_tree_follows_no_link(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tree)
    remove_tree(tmp_path / "link")
    assert (tree / "lib").is_dir()


def test_other_errors_pass() -> None:
    with pytest.raises(FileNotFoundError), disk_trouble():
        Path("/nonexistent").read_text()
