"""A session: what is counted of its results, and that it follows the recipes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mere_helpers.config import Config
from mere_helpers.press.charts import size_chart
from mere_helpers.session import Session
from mere_helpers.store.store import Entry

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
    monkeypatch.setattr(Session, "published_entries", lambda self: entries)
    sizes = Session(config).sizes()
    assert sizes == ({"one": 3000, "other": 3000}, {"one": 0, "other": 0}, {"one": 0, "other": 0}, 3000)
    assert size_chart(*sizes).text.startswith("2.9 KiB of sources become ")


def test_a_recipe_that_is_changed_is_planned_anew(config: Config, add_package: Callable[..., Path]) -> None:
    session = Session(config)
    before = session.plan
    assert session.plan is before
    add_package("new")
    assert session.resolve(["new"]) == ["packages/new"] and "packages/new" not in before.recipes
