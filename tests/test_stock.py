"""What is there: sources and builds, counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mere_helpers.building.schedule import run
from mere_helpers.config import Config
from mere_helpers.watching.stock import build_stock, source_stock

from .conftest import sha256
from .test_schedule import Builders


def test_sources_are_missing_there_verified_or_changed(config: Config) -> None:
    table = source_stock(config)
    assert table.rows[1] == ("zlib-1.0.tar.gz", "packages/zlib", "", "missing")
    assert table.note == "2 missing"
    path = config.sources / sha256("zlib") / "zlib-1.0.tar.gz"
    path.parent.mkdir(parents=True)
    path.write_text("zlib")
    assert source_stock(config).rows[1][2:] == ("4 B", "there")
    assert source_stock(config, verify=True).rows[1][2:] == ("4 B", "verified")
    path.write_text("zlip")
    assert source_stock(config, verify=True).rows[1][2:] == ("4 B", "changed")
    assert source_stock(config, verify=True).note == "1 missing, 1 changed; 4 B"


def test_a_file_of_two_recipes_is_counted_once(config: Config, add_package: Callable[..., Path]) -> None:
    more = f"source=(https://example.org/zlib-1.0.tar.gz)\nsha256sums=({sha256('zlib')})"
    add_package("minizip", depends="musl", more=more)
    table = source_stock(config)
    assert table.rows[1][:2] == ("zlib-1.0.tar.gz", "packages/minizip, packages/zlib")
    assert table.note == "2 missing"


def test_builds_are_built_missing_or_failed(config: Config) -> None:
    run(config, ["packages/musl"], builders=Builders())
    (config.store / "failed/packages-zlib").mkdir(parents=True)
    # Built since, and so no failure any more.
    (config.store / "failed/packages-musl").mkdir()
    tables = build_stock(config)
    assert list(tables) == ["cross", "temptools", "packages", "rebuild"]
    states = {row[0]: row[-1] for row in tables["packages"].rows}
    assert (states["musl"], states["zlib"], states["hello"]) == ("built", "failed", "missing")
    assert tables["cross"].rows == (("make", "", "10 B", "built"),)
    assert tables["cross"].note == "1 built; 10 B"


@pytest.mark.parametrize("verify", [False, True])
def test_looking_changes_nothing(config: Config, verify: bool) -> None:
    source_stock(config, verify=verify)
    build_stock(config)
    assert not config.store.exists()
