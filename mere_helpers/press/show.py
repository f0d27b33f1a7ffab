"""The words of the cells that look at recipes, at what they need and at what they printed; they build nothing."""

from __future__ import annotations

import re

from ..errors import MereError, RecipeError
from ..fetching import cache as source
from ..files import last_lines
from ..planning.plan import ROUNDS, Plan
from ..planning.recipe import Recipe, function_text
from .default import note, session
from .table import Table, Text

_LANGUAGES = {".toml": "toml", ".patch": "diff", ".diff": "diff", ".c": "c", ".cc": "cpp", ".py": "python"}
_ARRAYS = ("source", "sha256sums", "_debian")
_WORKAROUND = re.compile(r"#\s*(busybox|musl): ([\w.+-]+): (.*)")


def sources(*names: str) -> Table:
    """The pinned files of these recipes, of all by default, and who publishes each."""
    rows = {
        (item.name, recipe.name, ", ".join(_publishers(item)))
        for recipe in session().recipes(names)
        for item in recipe.sources
        if recipe.packages
    }
    return Table(("file", "recipe", "published by"), tuple(sorted(rows)))


def show(name: str, part: str | None = None) -> Text:
    """A recipe, one of its functions, its ``source`` arrays, or another file of ``recipes/``, as it stands there."""
    recipes = session().config.recipes
    path = recipes / name
    if path.is_file() and path.resolve().is_relative_to(recipes):
        note("shows", [id for id, recipe in session().plan.recipes.items() if path in recipe.files])
        return Text(path.read_text().rstrip("\n"), _LANGUAGES.get(path.suffix, "bash"))
    recipe = session().recipe(name)
    note("shows", [recipe.id])
    return Text(_arrays(recipe) if part == "source" else function_text(recipe, part), "bash")


def plan(*names: str) -> Table:
    """What these builds, or a whole stage, need: in an order in which each comes behind what it needs."""
    plan = session().plan
    chosen = session().resolve(names)
    stages = {id.partition("/")[0] for id in chosen}
    ids = [id for id in plan.closure(chosen) if id.partition("/")[0] in stages]
    recipes = [plan.recipes[id] for id in ids]
    if stages & set(ROUNDS[1:]):
        roots = tuple((plan.recipes[id].name, plan.recipes[id].version, _root(plan, id)) for id in ids)
        return Table(("package", "version", "packages in its container"), roots)
    if "packages" in stages:
        rows = tuple((r.name, r.version, ", ".join(r.makedepends), _depends(r)) for r in recipes)
        return Table(("package", "version", "to be built", "to be used"), rows)
    steps = tuple((r.id, ", ".join(_short(r, name) for name in r.makedepends)) for r in recipes)
    return Table(("step", "needs"), steps)


def log(name: str, lines: int = 20) -> Text:
    """The end of the log of a recipe's last build, whether it went well or not: 64 KiB of it at most."""
    id = session().recipe(name).id
    note("builds", [id])
    failed = session().config.logs / f"{id.replace('/', '-')}.log"
    entry = session().store.latest(id)
    path = failed if failed.is_file() or entry is None else entry.log
    if not path.is_file():
        raise MereError(f"{id} has no log", hint=f"build it first: python -m mere_helpers build {id}")
    return Text("\n".join(last_lines(path, lines)))


def workarounds(of: str = "busybox") -> Table:
    """Where a recipe had to work around something: its comments of the form ``# busybox: PROGRAM: how``.

    Parameters
    ----------
    of : str, optional
        ``busybox`` or ``musl``.
    """
    rows = set()
    for recipe in session().recipes():
        for found in _WORKAROUND.finditer(recipe.path.read_text()):
            if found[1] == of:
                rows.add((recipe.id, found[2], found[3]))
    return Table(("recipe", "program" if of == "busybox" else "subject", "what we do about it"), tuple(sorted(rows)))


def _root(plan: Plan, id: str) -> str:
    """How many packages a container of the rebuild holds, and which it holds beside those that all have."""
    common = set.intersection(
        *(set(plan.root_packages(other)) for other in plan.order() if other.startswith(f"{ROUNDS[1]}/"))
    )
    more = sorted(set(plan.root_packages(id)) - common)
    return f"{len(common)}, and {', '.join(more)}" if more else f"{len(common)}"


def _publishers(item: source.Source) -> list[str]:
    upstream = [] if item.url is None else [re.sub(r"^\w+://([^/]+)/.*", r"\1", item.url)]
    return [*upstream, *(f"Debian {name.partition('=')[0]}" for name in item.debian)]


def _arrays(recipe: Recipe) -> str:
    text = recipe.path.read_text()
    found = [re.search(rf"^{name}=\([^)]*\)", text, re.MULTILINE) for name in _ARRAYS]
    if not any(found):
        raise RecipeError(f"{recipe.id} pins no sources of its own")
    return "\n".join(match[0] for match in sorted(filter(None, found), key=lambda match: match.start()))


def _depends(recipe: Recipe) -> str:
    names = {name for depends in recipe.depends.values() for name in depends} - set(recipe.packages)
    return ", ".join(sorted(names))


def _short(recipe: Recipe, id: str) -> str:
    stage, _, name = id.partition("/")
    return name if stage == recipe.stage else id
