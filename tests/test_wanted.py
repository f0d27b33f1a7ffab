"""From names to results: what is counted of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mere_helpers.config import Config
from mere_helpers.drawing.charts import size_chart
from mere_helpers.reading import wanted
from mere_helpers.storage.store import Entry

from .conftest import sha256


def test_a_file_of_two_recipes_is_a_part_of_both_and_fetched_once(
    config: Config, add_package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "other"):
        add_package(name, more=f"source=(https://example.org/tool.tar.gz)\nsha256sums=({sha256('tool')})")
    file = config.sources / sha256("tool") / "tool.tar.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(3000))
    entries = [Entry(f"rebuild/{name}", "", config.store, {"outputs": {}}) for name in ("one", "other")]
    monkeypatch.setattr(wanted, "published_entries", lambda config: entries)
    sizes = wanted.sizes(config)
    assert sizes == ({"one": 3000, "other": 3000}, {"one": 0, "other": 0}, {"one": 0, "other": 0}, 3000)
    assert size_chart(*sizes).text.startswith("2.9 KiB of sources become ")
