"""Where in the book a recipe has its place: which chapters build it, show it, speak of it, and depend on it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import MereError
from ..files import write_record
from ..planning.plan import Plan
from ..planning.recipe import STAGES, Recipe
from ..session import Session
from .book import chapters, uses
from .table import Text

#: The page that `index` renews, below the checkout.
_PAGE = "book/index-of-recipes.md"

_TITLES = {"cross": "The cross toolchain", "temptools": "Temporary tools", "packages": "Packages"}

_HEAD = """\
# Index of recipes

Every recipe, with what it is and where it has its place in the book: the chapter that builds it first, and those that
show its text or a part of it. Every package is built once more in {rebuild}. A step has the version and the licence of
the package whose sources it takes. Below each table are the recipes themselves, as the builds read them.

% Written by `python -m mere_helpers index --update`.
"""

_LISTING = """\
({label})=

````{{admonition}} {name}
:class: dropdown
```{{literalinclude}} ../recipes/{path}
:language: bash
```
````
"""


@dataclass(frozen=True)
class Chapter:
    """What a chapter has to do with recipes, by their ids.

    Attributes
    ----------
    path : Path
        The notebook.
    shown : frozenset of str
        Those whose text, or a part of it, it shows.
    used : frozenset of str
        Those whose builds its cells use.
    needed : frozenset of str
        Those, and all that is needed to build them.
    """

    path: Path
    shown: frozenset[str]
    used: frozenset[str]
    needed: frozenset[str]

    @property
    def link(self) -> str:
        """A link from any page of the book; its text is the chapter's number."""
        return f"{{doc}}`{self.path.stem.partition('-')[0].lstrip('0')} </notebooks/{self.path.stem}>`"


def read_chapters(now: Session) -> list[Chapter]:
    """All chapters, in their order; nothing is built, and no store is needed."""
    found = []
    for path in chapters(now.config):
        used = uses(now, path)
        shown = frozenset(uses(now, path, "shows"))
        found.append(Chapter(path, shown, frozenset(used), frozenset(now.plan.closure(used))))
    return found


def index(now: Session, *, renew: bool = False) -> Text:
    """Compare ``book/index-of-recipes.md`` with the recipes and the chapters, or write it.

    Raises
    ------
    MereError
        It is not what it should be, and is not to be renewed.
    """
    page = now.config.checkout / _PAGE
    text = index_page(now)
    if page.is_file() and page.read_text() == text:
        return Text("nothing has changed")
    if not renew:
        raise MereError(f"{_PAGE} is older than recipes or chapters", hint="python -m mere_helpers index --update")
    write_record(page, text)
    return Text(f"{_PAGE} is written")


def index_page(now: Session) -> str:
    """The page with all recipes and their places, in Markdown."""
    config, plan = now.config, now.plan
    found = read_chapters(now)
    rebuild = next(chapter.link for chapter in found if any(id.startswith("rebuild/") for id in chapter.used))
    lines = [_HEAD.format(rebuild=rebuild.replace("`", "`chapter ", 1))]
    for stage in STAGES:
        recipes = [recipe for recipe in plan.recipes.values() if recipe.stage == stage]
        lines += [f"## {_TITLES[stage]}", "", *_table(plan, recipes, found), ""]
        for recipe in recipes:
            lines += [
                _LISTING.format(label=_label(recipe), name=recipe.name, path=recipe.path.relative_to(config.recipes))
            ]
    return "\n".join(lines).rstrip() + "\n"


def _table(plan: Plan, recipes: Iterable[Recipe], found: Sequence[Chapter]) -> Iterator[str]:
    yield "| recipe | version | what it is | licence | built | shown |"
    yield "|---|---|---|---|---|---|"
    for recipe in recipes:
        made_of = [recipe] if recipe.packages else _packages(plan.recipes, recipe)
        cells = (
            f"[`{recipe.name}`](#{_label(recipe)})",
            ", ".join(package.version.partition("-")[0] for package in made_of),
            _about(recipe, made_of),
            ", ".join(dict.fromkeys(licence for package in made_of for licence in package.licence)),
            _links([chapter for chapter in found if recipe.id in chapter.needed][:1]),
            _links(chapter for chapter in found if recipe.id in chapter.shown),
        )
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _label(recipe: Recipe) -> str:
    return f"recipe-{recipe.id.replace('/', '-').replace('+', 'p')}"


def _packages(recipes: Mapping[str, Recipe], step: Recipe) -> list[Recipe]:
    """The package that a step is an early form of: of the same name, or else those whose sources it takes."""
    if same := recipes.get(f"packages/{step.name}"):
        return [same]
    own = set(step.sources)
    return [recipe for id, recipe in recipes.items() if id.startswith("packages/") and own & set(recipe.sources)]


def _about(recipe: Recipe, made_of: Sequence[Recipe]) -> str:
    """A package's description; of a step the first sentence of the comment that it begins with, if it does."""
    if recipe.packages:
        return recipe.description
    comment = re.match(r"(?:#.*\n)*", recipe.path.read_text())
    words = " ".join(line.lstrip("# ") for line in comment[0].splitlines()) if comment else ""
    return re.split(r"(?<=\.) ", words)[0].removesuffix(".") or ", ".join(package.description for package in made_of)


def _links(found: Iterable[Chapter]) -> str:
    return ", ".join(chapter.link for chapter in found)
