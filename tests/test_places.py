"""Where recipes have their place in the book, and which chapters a change of one reaches."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from mere_helpers.config import load_config
from mere_helpers.errors import MereError
from mere_helpers.reading import places
from mere_helpers.reading.book import chapters
from mere_helpers.recipes.plan import Plan
from mere_helpers.recipes.recipe import STAGES

CONFIG = load_config()


@pytest.fixture(scope="module")
def graph() -> Plan:
    return Plan.from_recipes(CONFIG)


@pytest.fixture(scope="module")
def page() -> str:
    return places.index_page(CONFIG)


def _names(found: list[Path]) -> list[str]:
    return [path.name[:2] for path in found]


def test_the_index_of_recipes_is_not_stale() -> None:
    assert str(places.index(CONFIG)) == "nothing has changed"


def test_a_stale_index_is_an_error_that_says_what_renews_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "index_page", lambda config: "another text")
    with pytest.raises(MereError, match="older") as caught:
        places.index(CONFIG)
    assert caught.value.hint == "python -m mere_helpers index --update"


def test_every_recipe_is_in_the_index_and_built_by_a_chapter(graph: Plan, page: str) -> None:
    rows = {stage: text.splitlines() for stage, text in zip(STAGES, page.split("\n## ")[1:], strict=True)}
    for id, recipe in graph.recipes.items():
        if recipe.stage in STAGES:
            (row,) = [line for line in rows[recipe.stage] if line.startswith(f"| [`{recipe.name}`]")]
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
            assert len(cells) == 7 and cells[2], id
            assert re.fullmatch(r"\{doc\}`\d+ </notebooks/[\w-]+>`", cells[4]), id


def test_a_chapter_names_the_recipe_of_its_own_stage(graph: Plan) -> None:
    found = {chapter.path.name[:2]: chapter for chapter in places.read_chapters(CONFIG, graph)}
    assert found["03"].speaks_of(graph.recipes["cross/make"])
    assert not found["03"].speaks_of(graph.recipes["packages/make"])
    assert found["13"].speaks_of(graph.recipes["packages/busybox"])
    assert not found["13"].speaks_of(graph.recipes["temptools/busybox"])


def test_a_change_reaches_the_chapters_that_show_what_comes_of_it(graph: Plan) -> None:
    """Read from the committed outputs: whoever prints a line about a version has to do with its recipe."""
    for id, recipe in graph.recipes.items():
        if recipe.version and recipe.stage == "packages":
            reached = places.affected(CONFIG, graph, recipe.path)
            line = re.compile(rf"^({'|'.join(map(re.escape, recipe.packages))}) +{re.escape(recipe.version)}\b", re.M)
            for path in chapters(CONFIG):
                outputs = [o for c in nbformat.read(path, as_version=4).cells for o in c.get("outputs", ())]
                if any(line.search(output.get("data", {}).get("text/plain", "")) for output in outputs):
                    assert path in reached, id


def test_a_change_of_a_leaf_reaches_little_and_one_of_the_c_library_nearly_all(graph: Plan) -> None:
    leaf = _names(places.affected(CONFIG, graph, CONFIG.recipes / "packages/automake/PKGBUILD"))
    assert {"02", "09", "10", "11", "12"} <= set(leaf)
    assert not {"01", "03", "04", "05", "06", "07"} & set(leaf)
    root = _names(places.affected(CONFIG, graph, CONFIG.recipes / "packages/musl/security.patch"))
    assert set(leaf) | {"04", "05", "06", "07"} <= set(root)
    assert "01" not in root


def test_a_file_that_is_no_recipe_reaches_nothing(graph: Plan) -> None:
    assert places.affected(CONFIG, graph, CONFIG.checkout / "README.md") == []
