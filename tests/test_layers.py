"""Layers: installed once, whole, and any union of them is an installed system."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from mere_helpers.config import Config
from mere_helpers.containers.container import Container
from mere_helpers.containers.idmap import id_range
from mere_helpers.containers.layers import compose, package_layer, remove_layers
from mere_helpers.errors import ContainerError, StoreError

from .rooms import write_package

pytest_plugins = ("tests.rooms",)
pytestmark = pytest.mark.containers


@pytest.fixture(scope="module")
def pacman() -> Path:
    program = shutil.which("pacman")
    if program is None:
        pytest.skip("no pacman on this host")
    return Path(program)


def test_layer_holds_the_package_and_its_database_entry(room: Config, pacman: Path) -> None:
    package = write_package(room.store / "files", "one", {"etc/": "", "etc/one": "1\n", "etc/link -> one": ""})
    layer = package_layer(room, package, pacman)
    assert (layer / "etc/one").read_text() == "1\n" and (layer / "etc/link").is_symlink()
    assert (layer / "var/lib/pacman/local/one-1-1/desc").is_file()
    assert not (layer / "var/lib/pacman/db.lck").exists()
    ids = id_range(room)
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in [layer, *layer.rglob("*")]} == {(ids.uid, ids.gid)}
    before = layer.stat()
    assert package_layer(room, package, pacman) == layer
    assert (layer.stat().st_ino, layer.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [path.name for path in (room.store / "layers").iterdir()] == [layer.name]


def test_another_pacman_makes_a_layer_of_its_own(room: Config, pacman: Path) -> None:
    package = write_package(room.store / "files", "seven", {"seven": "7\n"})
    other = room.checkout / "pacman"
    other.write_text(f'#!/bin/sh\nexec {pacman} "$@"\n')
    other.chmod(0o755)
    layers = [package_layer(room, package, program) for program in (pacman, other, pacman)]
    assert layers[0] == layers[2] != layers[1]
    with pytest.raises(StoreError, match="cannot read no-pacman"):
        package_layer(room, package, pacman.with_name("no-pacman"))


def test_install_scripts_are_not_run(room: Config, pacman: Path) -> None:
    files = {".INSTALL": "post_install() { echo ran > /tmp/mere-ran; touch /ran; }\n", "two": "2\n"}
    layer = package_layer(room, write_package(room.store / "files", "two", files), pacman)
    assert not (layer / "ran").exists() and not Path("/tmp/mere-ran").exists()


def test_union_is_an_installed_system(room: Config, pacman: Path, busybox: Path, host_tools: list[Path]) -> None:
    first = write_package(room.store / "files", "lib", {"etc/": "", "etc/lib": "1\n"})
    second = write_package(room.store / "files", "app", {"etc/": "", "etc/app": "2\n"}, more="depend = lib\n")
    layers = compose(room, [first, second], [busybox, *host_tools], pacman)
    with Container(room, layers) as container:
        result = container.run(["/bin/sh", "-c", "pacman -Q && pacman -Qk && pacman -Qo /etc/app && pacman -Dk"])
    assert result.code == 0, result.tail
    assert result.tail.splitlines()[:2] == ["app 1-1", "lib 1-1"]
    assert result.tail.count("0 missing files") == 2 and "is owned by app" in result.tail


def test_what_is_no_package_leaves_nothing(room: Config, pacman: Path) -> None:
    bad = room.store / "files/bad.pkg.tar.zst"
    bad.parent.mkdir(parents=True, exist_ok=True)
    bad.write_text("<html>")
    before = set((room.store / "layers").glob("*"))
    with pytest.raises(ContainerError, match="pacman failed"):
        package_layer(room, bad, pacman)
    assert set((room.store / "layers").glob("*")) == before
    with pytest.raises(StoreError, match="cannot read none"):
        package_layer(room, room.store / "none.pkg.tar.zst", pacman)


def test_half_made_layer_is_made_again(room: Config, pacman: Path) -> None:
    package = write_package(room.store / "files", "three", {"three": "3\n"})
    layer = package_layer(room, package, pacman)
    remove_layers(room)
    assert not layer.exists()
    half = layer.with_name(f"{layer.name}.new")
    (half / "root/var").mkdir(parents=True)
    assert package_layer(room, package, pacman) == layer
    assert (layer / "three").exists() and not half.exists()


def test_two_who_want_the_same_layer(room: Config, pacman: Path) -> None:
    package = write_package(room.store / "files", "four", {"four": "4\n"})
    found = []
    threads = [threading.Thread(target=lambda: found.append(package_layer(room, package, pacman))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and len(set(found)) == 1


def test_unneeded_layers_go(room: Config, pacman: Path) -> None:
    layers = [
        package_layer(room, write_package(room.store / "files", name, {name: ""}), pacman) for name in ("five", "six")
    ]
    remove_layers(room, keep=layers[:1])
    assert [layer.exists() for layer in layers] == [True, False]
