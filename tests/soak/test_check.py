"""The checks of the soak see damage: a check that nothing fails proves nothing."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mere_helpers.store.store import Store

from ..rooms import write_package
from .check import damage
from .figures import Figures, Trial
from .world import World, make_world

_RECORDS = "var/lib/pacman/local/toy-1-1"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A toy checkout, and a store that holds one package and its layer."""
    if shutil.which("zstd") is None:
        pytest.skip("no zstd on this host")
    world = make_world(tmp_path / "checkout", tmp_path / "store")
    listing = gzip.compress(b"#mtree\n", mtime=0)
    files: dict[str, str | bytes] = {".MTREE": listing, "share/": "", "share/text": "text", "share/link -> text": ""}

    def produce(folder: Path) -> dict:
        write_package(folder / "out", "toy", files)
        return {}

    Store(world.config).add("packages/toy", "key", {}, produce)
    layer = world.store / "layers/0123"
    (layer / _RECORDS).mkdir(parents=True)
    (layer / "share").mkdir(mode=0o755)
    (layer / "share/text").write_text("text")
    (layer / "share/text").chmod(0o644)
    (layer / "share/link").symlink_to("text")
    (layer / _RECORDS / "mtree").write_bytes(listing)
    for record in ("desc", "files"):
        (layer / _RECORDS / record).write_text("something")
    return world


def test_a_whole_store_is_whole(world: World) -> None:
    assert damage(world) == []


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda layer: (layer / "share/text").write_text(""), "share/text differs"),
        (lambda layer: (layer / "share/text").write_text("tent"), "share/text differs"),
        (lambda layer: (layer / "share/text").unlink(), "share/text: No such file"),
        (lambda layer: (layer / "share/text").chmod(0o755), "share/text has mode 755, not 644"),
        (lambda layer: (layer / "share/more").write_text(""), "share/more is not in the package"),
        (lambda layer: (layer / _RECORDS / "desc").write_text(""), "pacman's record desc is empty"),
        (lambda layer: (layer / _RECORDS / "mtree").write_text(""), "pacman's listing of it differs"),
        (lambda layer: shutil.rmtree(layer / _RECORDS), "pacman's database names no package"),
    ],
)
def test_a_layer_that_is_not_what_its_package_is_is_seen(
    world: World, spoil: Callable[[Path], object], complaint: str
) -> None:
    spoil(world.store / "layers/0123")
    (line,) = damage(world)
    assert complaint in line


def test_an_entry_with_another_byte_is_seen(world: World) -> None:
    (file,) = (world.store / "entries/key/out").iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)
    file.chmod(0o444)
    # The layer has nothing left that it could be compared with.
    shutil.rmtree(world.store / "layers/0123")
    assert "the stored outputs of packages/toy have changed" in damage(world)[0]


def test_an_entry_that_nobody_can_read_is_seen(world: World) -> None:
    (world.store / "entries/key/meta.json").write_text("")
    assert "entry key cannot be read" in damage(world)[0]


def test_a_trial_that_lost_something_counts() -> None:
    figures = Figures([Trial("kill", "step"), Trial("kill", "run", resumed="other checksums: packages/toy")])
    assert not figures.good
    assert figures.data()["wrong"] == {"kill": ["run: next run: other checksums: packages/toy"]}
    assert ("kill", "2", "2", "2", "1", "2", "0.0 s") in figures.table().rows
