"""The words of the book: spelled right, in one English, without phrases that say nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from spellchecker import SpellChecker

from mere_helpers.config import load_config

CHECKOUT = load_config().checkout
#: Not prose: its sentences are those of the recipes.
INDEX = CHECKOUT / "book/index-of-recipes.md"
PAGES = sorted(set(CHECKOUT.glob("book/*.md")) - {INDEX})
TEXTS = [*sorted(CHECKOUT.glob("notebooks/*.ipynb")), *PAGES, CHECKOUT / "README.md"]

#: The words of our trade, and names; one a line.
TRADE = set((Path(__file__).parent / "words.txt").read_text().split())

#: What is not prose: code, addresses, roles of the markup.
_CODE = re.compile(r"```.*?```|`[^`]*`|\{[\w:]+\}|\]\([^)]*\)|https?://\S+|^:\w+:[^\n]*$", re.DOTALL | re.MULTILINE)
#: What is prose, though it stands between marks of code.
_FOLDED = re.compile(r"^```\{(?:admonition|glossary)\}(.*?)^```$", re.DOTALL | re.MULTILINE)
_WORD = re.compile(r"[^\W\d_][^\W\d_A-Z']+")

AMERICAN = (
    "color",
    "behavior",
    "favor",
    "neighbor",
    "optimize",
    "optimization",
    "analyze",
    "analyzer",
    "center",
    "dialog",
)
EMPTY = ("simply", "obviously", "it should be noted", "needless to say", "in order to", "utilize", "as you know")


def prose(path: Path) -> str:
    text = path.read_text()
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return _CODE.sub(" ", _FOLDED.sub(r"\1", text))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_every_word_is_one(path: Path) -> None:
    words = {word.strip("'").removesuffix("'s").lower() for word in _WORD.findall(prose(path))}
    # The checker knows nothing of words with one or two letters.
    unknown = SpellChecker(language="en").unknown(word for word in words - TRADE if len(word) > 2)
    assert unknown == set()


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_it_is_plain_english_of_one_kind(path: Path) -> None:
    text = prose(path)
    assert [word for word in AMERICAN if re.search(rf"\b{word}\b", text, re.IGNORECASE)] == []
    assert [phrase for phrase in EMPTY if phrase in text.lower()] == []
    assert re.findall(r"\b(\w+) \1\b", text) == []


def test_no_word_of_the_trade_is_there_for_nothing() -> None:
    said = {word.strip("'").removesuffix("'s").lower() for path in TEXTS for word in _WORD.findall(prose(path))}
    assert TRADE - said == set()
