"""Where recipes have their place in the book."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from mere_helpers.config import load_config
from mere_helpers.errors import MereError
from mere_helpers.planning.plan import Plan
from mere_helpers.planning.recipe import STAGES
from mere_helpers.press import recipe_index
from mere_helpers.session import Session

SESSION = Session(load_config())


@pytest.fixture(scope="module")
def graph() -> Plan:
    return SESSION.plan


@pytest.fixture(scope="module")
def page() -> str:
    return recipe_index.index_page(SESSION)


def test_the_index_of_recipes_is_not_stale() -> None:
    assert str(recipe_index.index(SESSION)) == "nothing has changed"


def test_a_stale_index_is_an_error_that_says_what_renews_it(tmp_path: Path) -> None:
    for name in ("recipes", "notebooks", "_toc.yml"):
        (tmp_path / name).symlink_to(SESSION.config.checkout / name)
    (tmp_path / "book").mkdir()
    stale = Session(replace(SESSION.config, checkout=tmp_path))
    with pytest.raises(MereError, match="older") as caught:
        recipe_index.index(stale)
    assert caught.value.hint == "python -m mere_helpers index --update"
    recipe_index.index(stale, renew=True)
    assert str(recipe_index.index(stale)) == "nothing has changed"


def test_every_recipe_is_in_the_index_and_built_by_a_chapter(graph: Plan, page: str) -> None:
    rows = {stage: text.splitlines() for stage, text in zip(STAGES, page.split("\n## ")[1:], strict=True)}
    for id, recipe in graph.recipes.items():
        if recipe.stage in STAGES:
            (row,) = [line for line in rows[recipe.stage] if line.startswith(f"| [`{recipe.name}`]")]
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
            assert len(cells) == 6 and cells[2], id
            assert re.fullmatch(r"\{doc\}`\d+ </notebooks/[\w-]+>`", cells[4]), id
