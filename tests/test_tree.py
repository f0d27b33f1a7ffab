"""Folders as data."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mere_helpers.errors import StoreError
from mere_helpers.files import DEEPEST, FULL, digest, disk_trouble, full_or, listing, remove_tree


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


def test_remove_tree_copes_with_locked_folders(tree: Path) -> None:
    (tree / "lib").chmod(0o000)
    tree.chmod(0o500)
    remove_tree(tree)
    assert not tree.exists()
    remove_tree(tree)


def nest(top: Path, depth: int, name: str = "d" * 255, *, mode: int = 0o755) -> None:
    """Directories one within another, deeper than a path can say; the innermost holds a file and a link."""
    top.mkdir()
    folder = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=folder)
        inner = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.fchmod(folder, mode)
        os.close(folder)
        folder = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o444, dir_fd=folder))
    os.symlink("/", "link", dir_fd=folder)
    os.close(folder)


@pytest.mark.parametrize(("depth", "name"), [(2000, "d"), (2000, "d" * 255), (12, "d" * 255), (250, "d")])
def test_directories_nested_beyond_every_limit_are_removed_and_not_listed(
    tmp_path: Path, depth: int, name: str
) -> None:
    nest(tmp_path / "deep", depth, name)
    with pytest.raises(StoreError, match=r"a path is deeper than 200 directories or longer than 3000 bytes: d"):
        listing(tmp_path / "deep")
    remove_tree(tmp_path / "deep")
    assert list(tmp_path.iterdir()) == []


def test_deep_but_not_too_deep_directories_are_listed(tmp_path: Path) -> None:
    nest(tmp_path / "deep", DEEPEST - 1, "d")
    assert len(listing(tmp_path / "deep")["folders"]) == DEEPEST - 1
    nest(tmp_path / "long", 11)
    assert len(listing(tmp_path / "long")["folders"]) == 11


@pytest.mark.parametrize("mode", [0o000, 0o100, 0o300, 0o400, 0o500])
def test_an_ordinary_user_removes_locked_directories_however_deep(tmp_path: Path, mode: int) -> None:
    nest(tmp_path / "deep", 120, mode=mode)
    (tmp_path / "linked").write_text("somebody needs this")
    (tmp_path / "linked").chmod(0o444)
    (tmp_path / "deep").chmod(0o755)
    os.link(tmp_path / "linked", tmp_path / "deep/linked")
    (tmp_path / "deep").chmod(mode)
    # Whoever runs the tests, in there it is the owner of the files and has no other right.
    script = "import sys; from pathlib import Path; from mere_helpers.files import remove_tree"
    script += "; remove_tree(Path(sys.argv[1]))"
    command = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--", sys.executable, "-c", script]
    subprocess.run([*command, str(tmp_path / "deep")], check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["linked"]
    assert (tmp_path / "linked").stat().st_mode & 0o777 == 0o444, "files are left as they are"


def test_two_may_remove_the_same_tree(tmp_path: Path) -> None:
    for _ in range(5):
        nest(tmp_path / "deep", 300, "d")
        for number in range(300):
            (tmp_path / f"deep/{number}/inner").mkdir(parents=True)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(remove_tree, [tmp_path / "deep"] * 4))
        assert not (tmp_path / "deep").exists()


def test_a_hint_is_about_the_disk_only_where_the_disk_is_full(tmp_path: Path) -> None:
    assert full_or(tmp_path, "look at the log") == "look at the log"
    script = "import sys; from pathlib import Path; from mere_helpers.files import full_or"
    script += '; print(full_or(Path(sys.argv[1]), "look at the log"))'
    mount = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "--", "sh", "-c", mount, "sh"]
    done = subprocess.run([*command, str(tmp_path), sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{FULL}\n"


def test_remove_tree_follows_no_link(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tree)
    remove_tree(tmp_path / "link")
    assert (tree / "lib").is_dir()


def test_other_errors_pass() -> None:
    with pytest.raises(FileNotFoundError), disk_trouble():
        Path("/nonexistent").read_text()
