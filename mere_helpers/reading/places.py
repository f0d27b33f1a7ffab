"""Where in the book a recipe has its place: which chapters build it, show it, speak of it, and depend on it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config import Config
from ..errors import MereError
from ..recipes.plan import Plan
from ..recipes.recipe import STAGES, Recipe, load_recipe
from ..report import Text
from .book import chapters, needs, texts
from .wanted import ids_of

#: The page that `index` renews, below the checkout.
_PAGE = "book/index-of-recipes.md"

_TITLES = {"cross": "The cross toolchain", "temptools": "Temporary tools", "packages": "Packages"}

_HEAD = """\
# Index of recipes

Every recipe, with what it is and where it has its place in the book: the chapter that builds it first, those that show
its text or a part of it, and those that name it as a program or have a section about it. Every package is built once
more in {rebuild}. A step has the version and the licence of the package whose sources it takes. Below
each table are the recipes themselves, as the builds read them.

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

#: What prose names: as code, in bold, or at the beginning of a heading.
_NAMED = re.compile(r"`([^`\s]+)`|\*\*([\w+-]+)\*\*|^#+ ([\w+-]+)", re.MULTILINE)

#: Words of cells that read recipes without building them: those that they get the names of, all if they get none.
_READERS = {"plan", "sources", "fetch"}

#: Words that look through all recipes.
_SEARCHERS = {"workarounds", "uses"}


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
        Those whose builds its cells name.
    needed : frozenset of str
        Those, and all that is needed to build them.
    read : frozenset of str
        Those whose fields or comments it shows.
    named : frozenset of str
        What its prose names: as code, in bold, or at the beginning of a heading.
    """

    path: Path
    shown: frozenset[str]
    used: frozenset[str]
    needed: frozenset[str]
    read: frozenset[str]
    named: frozenset[str]

    @property
    def link(self) -> str:
        """A link from any page of the book; its text is the chapter's number."""
        return f"{{doc}}`{self.path.stem.partition('-')[0].lstrip('0')} </notebooks/{self.path.stem}>`"

    def speaks_of(self, recipe: Recipe) -> bool:
        """Whether its prose names this very recipe; several stages have a ``gcc``."""
        if recipe.name not in self.named:
            return False
        own = {id for id in self.shown | self.used if id.partition("/")[2] == recipe.name}
        return recipe.id in own if own else bool(recipe.packages)


def read_chapters(config: Config, graph: Plan) -> list[Chapter]:
    """All chapters, in their order; nothing is built, and no store is needed."""
    return [_read(config, graph, path) for path in chapters(config)]


def affected(config: Config, graph: Plan, file: Path) -> list[Path]:
    """The chapters whose outputs may change when this file of a recipe does."""
    ids = {id for id, recipe in graph.recipes.items() if file in recipe.files}
    found = read_chapters(config, graph)
    return [chapter.path for chapter in found if ids & (chapter.needed | chapter.read | chapter.shown)]


def index(config: Config, *, renew: bool = False) -> Text:
    """Compare ``book/index-of-recipes.md`` with the recipes and the chapters, or write it.

    Raises
    ------
    MereError
        It is not what it should be, and is not to be renewed.
    """
    page = config.checkout / _PAGE
    text = index_page(config)
    if page.is_file() and page.read_text() == text:
        return Text("nothing has changed")
    if not renew:
        raise MereError(f"{_PAGE} is older than recipes or chapters", hint="python -m mere_helpers index --update")
    page.write_text(text)
    return Text(f"{_PAGE} is written")


def index_page(config: Config) -> str:
    """The page with all recipes and their places, in Markdown."""
    graph = Plan.from_recipes(config)
    found = read_chapters(config, graph)
    rebuild = next(chapter.link for chapter in found if any(id.startswith("rebuild/") for id in chapter.used))
    lines = [_HEAD.format(rebuild=rebuild.replace("`", "`chapter ", 1))]
    for stage in STAGES:
        recipes = [recipe for recipe in graph.recipes.values() if recipe.stage == stage]
        lines += [f"## {_TITLES[stage]}", "", *_table(graph, recipes, found), ""]
        for recipe in recipes:
            lines += [
                _LISTING.format(label=_label(recipe), name=recipe.name, path=recipe.path.relative_to(config.recipes))
            ]
    return "\n".join(lines).rstrip() + "\n"


def _table(graph: Plan, recipes: Iterable[Recipe], found: Sequence[Chapter]) -> Iterator[str]:
    yield "| recipe | version | what it is | licence | built | shown | named |"
    yield "|---|---|---|---|---|---|---|"
    for recipe in recipes:
        made_of = [recipe] if recipe.packages else _packages(graph.recipes, recipe)
        cells = (
            f"[`{recipe.name}`](#{_label(recipe)})",
            ", ".join(package.version.partition("-")[0] for package in made_of),
            _about(recipe, made_of),
            ", ".join(dict.fromkeys(licence for package in made_of for licence in package.licence)),
            _links([chapter for chapter in found if recipe.id in chapter.needed][:1]),
            _links(chapter for chapter in found if recipe.id in chapter.shown),
            _links(chapter for chapter in found if chapter.speaks_of(recipe)),
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


def _read(config: Config, graph: Plan, path: Path) -> Chapter:
    import nbformat

    cells = nbformat.read(path, as_version=4).cells
    prose = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    shown: set[str] = set()
    read: set[str] = set()
    for cell in cells:
        for word, names in _calls(cell.source) if cell.cell_type == "code" else ():
            if word == "show":
                shown |= {id for name in names[:1] if (id := _recipe_of(config, graph, name))}
            elif word in _READERS:
                read |= set(graph.closure(ids_of(graph, names)))
            elif word in _SEARCHERS:
                read |= set(graph.recipes)
    used = needs(graph, path)
    return Chapter(
        path,
        frozenset(shown),
        frozenset(used),
        frozenset(graph.closure(used)),
        frozenset(read),
        frozenset(name for names in _NAMED.findall(prose) for name in names),
    )


def _calls(source: str) -> Iterator[tuple[str, list[str]]]:
    """The words that a cell says, each with the strings that it gets."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            yield call.func.id, [text for value in call.args for text in texts(value)]


def _recipe_of(config: Config, graph: Plan, name: str) -> str | None:
    """The recipe that something shown belongs to; none for a file that belongs to all."""
    id = "/".join(name.split("/")[:2])
    if id in graph.recipes:
        return id
    return None if (config.recipes / name).is_file() else load_recipe(config, name).id
