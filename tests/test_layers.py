"""Layers: installed once, whole, and any union of them is an installed system."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from mere_helpers.building import layers
from mere_helpers.building.layers import compose, is_intact, package_layer, remove_layers
from mere_helpers.config import Config
from mere_helpers.errors import ContainerError, PackageError, StoreError
from mere_helpers.sandbox.idmap import as_mapped_root, id_range
from mere_helpers.sandbox.sandbox import Sandbox
from mere_helpers.verify.contents import check_layers

from .rooms import write_package

pytest_plugins = ("tests.rooms",)
pytestmark = pytest.mark.containers


def test_layer_holds_the_package_and_its_database_entry(room: Config, installer: list[Path]) -> None:
    package = write_package(room.store / "files", "one", {"etc/": "", "etc/one": "1\n", "etc/link -> one": ""})
    layer = package_layer(room, package, installer)
    assert (layer / "etc/one").read_text() == "1\n" and (layer / "etc/link").is_symlink()
    assert (layer / "var/lib/pacman/local/one-1-1/desc").is_file()
    assert not (layer / "var/lib/pacman/db.lck").exists()
    ids = id_range(room)
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in [layer, *layer.rglob("*")]} == {(ids.uid, ids.gid)}
    before = layer.stat()
    assert package_layer(room, package, installer) == layer
    assert (layer.stat().st_ino, layer.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert sorted(path.name for path in layer.parent.iterdir()) == [layer.name, f"{layer.name}.json"]


def test_another_pacman_makes_a_layer_of_its_own(room: Config, installer: list[Path]) -> None:
    package = write_package(room.store / "files", "seven", {"seven": "7\n"})
    other = room.checkout / "other"
    shutil.copytree(installer[0], other)
    with open(other / "mere/bin/pacman", "a") as script:
        script.write("# another one\n")
    first, second, third = (
        package_layer(room, package, root) for root in (installer, [other, *installer[1:]], installer)
    )
    assert first == third != second
    with pytest.raises(StoreError, match="cannot read pacman"):
        package_layer(room, package, installer[1:])


def test_install_scripts_are_not_run(room: Config, installer: list[Path]) -> None:
    files = {".INSTALL": "post_install() { echo ran > /tmp/mere-ran; touch /ran; }\n", "two": "2\n"}
    layer = package_layer(room, write_package(room.store / "files", "two", files), installer)
    assert not (layer / "ran").exists() and not Path("/tmp/mere-ran").exists()


def test_union_is_an_installed_system(
    room: Config, installer: list[Path], busybox: Path, host_tools: list[Path]
) -> None:
    first = write_package(room.store / "files", "lib", {"etc/": "", "etc/lib": "1\n"})
    second = write_package(room.store / "files", "app", {"etc/": "", "etc/app": "2\n"}, more="depend = lib\n")
    root = compose(room, [first, second], [busybox, *host_tools], installer)
    with Sandbox(room, root) as container:
        result = container.run(["/bin/sh", "-c", "pacman -Q && pacman -Qk && pacman -Qo /etc/app && pacman -Dk"])
    assert result.code == 0, result.tail
    assert result.tail.splitlines()[:2] == ["app 1-1", "lib 1-1"]
    assert result.tail.count("0 missing files") == 2 and "is owned by app" in result.tail


def test_what_is_no_package_leaves_nothing(room: Config, installer: list[Path]) -> None:
    bad = room.store / "files/bad.pkg.tar.zst"
    bad.parent.mkdir(parents=True, exist_ok=True)
    bad.write_text("<html>")
    before = set((room.store / "layers").glob("*"))
    with pytest.raises(PackageError, match=r"bad\.pkg\.tar\.zst is not a package"):
        package_layer(room, bad, installer)
    assert set((room.store / "layers").glob("*")) == before
    with pytest.raises(StoreError, match="cannot read none"):
        package_layer(room, room.store / "none.pkg.tar.zst", installer)


@pytest.mark.parametrize("how", ["no record", "half a record", "empty files", "changed", "touched", "added", "removed"])
def test_a_layer_that_is_not_what_it_was_is_made_again(room: Config, installer: list[Path], how: str) -> None:
    name = how.replace(" ", "-")
    files = {f"{name}/": "", f"{name}/a": "a\n", f"{name}/b": "b\n"}
    package = write_package(room.store / "files", name, files)
    layer = package_layer(room, package, installer)
    record = layer.with_name(f"{layer.name}.json")
    damage = {
        "no record": record.unlink,
        "half a record": lambda: record.write_text(record.read_text()[:20]),
        # What a power failure leaves of files that no disk has seen.
        "empty files": lambda: _as_root(room, f"truncate -s 0 {layer}/{name}/*"),
        "changed": lambda: _as_root(room, f"echo c > {layer}/{name}/a; touch -d @0 {layer}/{name}/a"),
        "touched": lambda: _as_root(room, f"chmod 4755 {layer}/{name}/a"),
        "added": lambda: _as_root(room, f"touch {layer}/{name}/c"),
        "removed": lambda: _as_root(room, f"rm {layer}/{name}/a"),
    }
    damage[how]()
    # Another process asks: this one has seen the layer as it was.
    layers._SEEN.clear()
    assert package_layer(room, package, installer) == layer
    assert (layer / name / "a").read_text() == "a\n" and (layer / name / "a").stat().st_mode & 0o7777 == 0o644
    assert {path.name for path in (layer / name).iterdir()} == {"a", "b"}
    assert is_intact(room, layer)


def test_verify_names_a_layer_whose_contents_have_changed(room: Config, installer: list[Path]) -> None:
    package = write_package(room.store / "files", "eight", {"eight": "8\n"})
    layer = package_layer(room, package, installer)
    assert is_intact(room, layer) and not check_layers(room).problems
    _as_root(room, f"echo 9 > {layer}/eight")
    assert not is_intact(room, layer)
    ((problem, command),) = check_layers(room).problems
    assert layer.name in problem
    subprocess.run(command, shell=True, check=True)
    layers._SEEN.clear()
    assert package_layer(room, package, installer) == layer and is_intact(room, layer)


def test_what_pacman_installs_has_to_be_what_the_reader_saw(room: Config, installer: list[Path]) -> None:
    package = write_package(room.store / "files", "nine", {"nine": "9\n"})
    # A pacman that sees more than we do.
    (other := room.checkout / "more").mkdir()
    shutil.copytree(installer[0], other, dirs_exist_ok=True)
    with open(other / "mere/bin/pacman", "w") as script:
        script.write('#!/bin/sh\n/bin/pacman "$@" && echo more > /layer/ten\n')
    with pytest.raises(ContainerError, match=r"pacman has not installed what is in nine-1-1.*: ten"):
        package_layer(room, package, [other, *installer[1:]])


def _as_root(room: Config, script: str) -> None:
    as_mapped_root(room, ["sh", "-c", script])


def test_two_who_want_the_same_layer(room: Config, installer: list[Path]) -> None:
    package = write_package(room.store / "files", "four", {"four": "4\n"})
    found = []
    threads = [threading.Thread(target=lambda: found.append(package_layer(room, package, installer))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and len(set(found)) == 1


def test_unneeded_layers_go(room: Config, installer: list[Path]) -> None:
    five, six = (
        package_layer(room, write_package(room.store / "files", name, {name: ""}), installer)
        for name in ("five", "six")
    )
    remove_layers(room, keep=[five])
    assert five.exists() and not six.exists()
