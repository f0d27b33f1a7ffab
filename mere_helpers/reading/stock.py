"""What is there: source files in the cache, and builds in the store."""

from __future__ import annotations

from ..building.schedule import found
from ..config import Config
from ..errors import SourceError
from ..fetching.source import Source, source_path, verified_path
from ..recipes.plan import Plan
from ..recipes.recipe import load_recipes
from ..report import Table, size


def source_stock(config: Config, *, verify: bool = False) -> Table:
    """The source files of all recipes, and which of them are there.

    Parameters
    ----------
    config : Config
    verify : bool, optional
        Hash each file that is there; otherwise it is enough that it lies where `fetch` puts what it has verified.
    """
    users: dict[Source, list[str]] = {}
    for recipe in load_recipes(config).values():
        for source in recipe.sources:
            users.setdefault(source, []).append(recipe.id)
    rows = [
        (source.name, users[source][-1], *_source_state(config, source, verify))
        for source in sorted(users, key=lambda source: source.name)
    ]
    return Table(("file", "recipe", "size", "state"), tuple(rows), note=_counted([row[-1] for row in rows]))


def build_stock(config: Config) -> dict[str, Table]:
    """For each stage its builds, with the size of what they made: built, failed, or not tried yet."""
    plan = Plan.from_recipes(config)
    entries = found(config, plan.order(), plan=plan)
    tables = {}
    for stage in plan.stages:
        rows = []
        for id in (id for id in plan.order() if id.startswith(f"{stage}/")):
            entry = entries.get(id)
            made = size(sum(output.size for output in entry.outputs.values())) if entry else ""
            rows.append((plan.recipes[id].name, plan.recipes[id].version, made, _build_state(config, id, bool(entry))))
        note = _counted([row[-1] for row in rows])
        tables[stage] = Table(("build", "version", "size", "state"), tuple(rows), note=note)
    return tables


def _source_state(config: Config, source: Source, verify: bool) -> tuple[str, str]:
    path = source_path(config, source)
    if not path.is_file():
        return "", "missing"
    length = size(path.stat().st_size)
    if not verify:
        return length, "there"
    try:
        verified_path(config, source)
    except SourceError:
        return length, "changed"
    return length, "verified"


def _build_state(config: Config, id: str, built: bool) -> str:
    if built:
        return "built"
    return "failed" if (config.store / "failed" / id.replace("/", "-")).is_dir() else "missing"


def _counted(states: list[str]) -> str:
    """How many there are of each state, as in ``3 built, 1 failed``."""
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
