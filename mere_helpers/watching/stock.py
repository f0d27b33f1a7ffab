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
    # Some recipes share a file, which `fetch` counts once.
    sources: dict[tuple[str, str], list[Source]] = {}
    for source in (source for recipe in load_recipes(config).values() for source in recipe.sources):
        sources.setdefault((source.name, source.sha256), []).append(source)
    rows, taken = [], 0
    for (name, _), shared in sorted(sources.items()):
        length, state = _source_state(config, shared[0], verify)
        users = ", ".join(sorted({source.recipe for source in shared}))
        rows.append((name, users, size(length) if length else "", state))
        taken += length
    note = _counted([row[-1] for row in rows], taken)
    return Table(("file", "recipe", "size", "state"), tuple(rows), note=note)


def build_stock(config: Config) -> dict[str, Table]:
    """For each stage its builds, with the size of what they made: built, failed, or not tried yet."""
    plan = Plan.from_recipes(config)
    entries = found(config, plan.order(), plan=plan)
    tables = {}
    for stage in plan.stages:
        rows, taken = [], 0
        for id in (id for id in plan.order() if id.startswith(f"{stage}/")):
            made = sum(output.size for output in entries[id].outputs.values()) if id in entries else 0
            state = _build_state(config, id, id in entries)
            rows.append((plan.recipes[id].name, plan.recipes[id].version, size(made) if made else "", state))
            taken += made
        note = _counted([row[-1] for row in rows], taken)
        tables[stage] = Table(("build", "version", "size", "state"), tuple(rows), note=note)
    return tables


def _source_state(config: Config, source: Source, verify: bool) -> tuple[int, str]:
    path = source_path(config, source)
    if not path.is_file():
        return 0, "missing"
    state = "there"
    if verify:
        try:
            verified_path(config, source)
            state = "verified"
        except SourceError:
            state = "changed"
    return path.stat().st_size, state


def _build_state(config: Config, id: str, built: bool) -> str:
    if built:
        return "built"
    return "failed" if (config.store / "failed" / id.replace("/", "-")).is_dir() else "missing"


def _counted(states: list[str], taken: int) -> str:
    """How many there are of each state, and how many bytes all of them take: ``3 built, 1 failed; 2.0 MiB``."""
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"{counts}; {size(taken)}" if taken else counts
