"""The commands that prove something, or renew what is recorded; some of them take as long as the bootstrap."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..building.builders import installer
from ..building.jobserver import Jobserver
from ..building.package_file import package_name
from ..building.schedule import BudgetError, deadline
from ..config import Config, clean_environment
from ..errors import DifferenceError, MereError
from ..fetching import usual as usual_packages
from ..proving.compared import Compared, compare_entries, refuse_if_full
from ..proving.digests import Digests, changes, check, digests_of, recorded_digests, update
from ..proving.record import record_proof
from ..proving.reproduce import reproduce
from ..proving.variation import VARIED, vary
from ..recipes.plan import ROUNDS, Plan
from ..recipes.recipe import Recipe, load_recipe, load_recipes
from ..report import Table, Text
from ..storage.store import Entry, Store
from . import evidence
from .attempts import attempt
from .sweep import Sweep, trying
from .wanted import built, fetched, ids_of, published_digests


def digests(config: Config, *, renew: bool = False) -> Text:
    """Compare sources and published packages with ``recipes/digests.toml``, or write it and say what has changed."""
    if not renew:
        with trying("the comparison with recipes/digests.toml"):
            return evidence.digests()
    return Text("\n".join(update(config, published_digests(config))) or "nothing has changed")


def usual(config: Config, *, renew: bool = False) -> Text:
    """Compare ``book/usual-packages.toml`` with Debian's archive of today, or write it and say what has changed."""
    today = usual_packages.found(config)
    changed = usual_packages.changes(usual_packages.recorded(config), today)
    if renew:
        usual_packages.update(config, today)
    return Text("\n".join(changed) or "nothing has changed")


def rebuild(config: Config, file: Path) -> Table:
    """Build a package of a repository again, from what it says about itself.

    Raises
    ------
    DifferenceError
        It is not equal in every byte.
    MereError
        It could not be tried.
    """
    recorded = recorded_digests(config).packages
    with trying(file.name):
        graph = Plan.from_recipes(config)
        pacman = installer(graph, built(config, graph, [graph.installer]))
        result = reproduce(config, graph, file.resolve(), pacman, sums=recorded)
    if result.different:
        raise result.error("cannot be reproduced")
    # What makes itself again, as a compiler can, may still be what nobody else gets.
    other = [name for name, sha256 in result.equal.items() if recorded.get(name) != sha256]
    note = f"Not as in recipes/digests.toml: {', '.join(other)}." if other else ""
    return Table(("package", "built again"), tuple((name, "the same bytes") for name in result.equal), note=note)


def confirm(config: Config) -> Table:
    """Build a third round from the second.

    Raises
    ------
    DifferenceError
        A package is not equal in every byte.
    BudgetError, MereError
        None differs, but some could not be tried.
    """
    graph = Plan.from_recipes(config, rounds=3)
    ids = ids_of(graph, [ROUNDS[2]])
    with trying("the third round"):
        second = built(config, graph, [needed for id in ids for needed in graph.dependencies(id)])
    third = attempt(config, graph, ids)
    sweep = Sweep("in a third round")
    for id in ids:
        first = second[str(graph.reference(id))]
        result = sweep.settle(id, partial(_next_round, config, first, third[id]))
        if result:
            record_proof(config, "round 3", result.equal, result.different)
    sweep.complain()
    rows = tuple((graph.recipes[id].name, "equal") for id in ids)
    return Table(("recipe", "round 3"), rows, note=f"{len(ids)} of {len(ids)} are equal in every byte")


def elsewhere(config: Config, names: Sequence[str]) -> Table:
    """Build packages of the second round, all by default, under other circumstances.

    It is recorded of those alone that are as in ``recipes/digests.toml``, and not of what a reader has made of them.

    Raises
    ------
    DifferenceError
        One is not equal in every byte.
    BudgetError, MereError
        None differs, but some could not be tried.
    """
    ends = deadline(config)
    graph = Plan.from_recipes(config)
    # Two packages may come from one recipe.
    recipes = dict.fromkeys(load_recipe(config, name).name for name in names)
    ids = [f"{ROUNDS[1]}/{name}" for name in recipes] or ids_of(graph, [ROUNDS[1]])
    with trying("the build elsewhere"):
        entries = built(config, graph, ids)
        fetched(config, [graph.recipes[id] for id in ids])
    recorded = recorded_digests(config).packages
    equal: list[str] = []
    sweep = Sweep("elsewhere")
    jobs = config.jobs + 3
    with Jobserver(config.work / "jobs", jobs - 1) as jobserver, ThreadPoolExecutor(config.jobs, "vary") as executor:
        try:
            again = {executor.submit(_in_time, ends, vary, config, graph, id, entries, jobserver): id for id in ids}
            for future in as_completed(again):
                entry = entries[again[future]]
                known = dict(digests_of((), [entry]).packages.items() & recorded.items())
                note = "" if known else ", which is not as in recipes/digests.toml: nothing is recorded"
                if result := sweep.settle(entry.id, future.result, note):
                    equal += result.equal
                    # Recorded at once: the whole takes long, and what is shown is shown.
                    shown = dict(result.equal.items() & known.items())
                    record_proof(config, "elsewhere", shown, known.keys() & set(result.different))
        except BaseException:
            # Ctrl-C, mostly. The builds notice the event and tear down what they started.
            jobserver.stop.set()
            executor.shutdown(cancel_futures=True)
            raise
    sweep.complain()
    rows = tuple((file, "equal") for file in sorted(equal))
    return Table(("package", "elsewhere"), rows, note=f"other than before: {'; '.join(VARIED)}")


def chain(config: Config, cc: str, cxx: str) -> Table:
    """Build everything, from the cross toolchain on, with other compilers of the host (diverse double-compiling).

    The proof is about all packages: it is recorded when all of a chain are as recorded.

    Raises
    ------
    DifferenceError
        A published package is not the recorded one, or does not even come out the same twice.
    BudgetError, MereError
        None differs, but some could not be tried; for instance, the host lacks one of the compilers, or they make the
        same cross compiler as the host's usual one.
    """
    recorded = recorded_digests(config)
    _check_recipes(config, recorded)
    with trying("the proof with other compilers"):
        said = {name: _version(name) for name in ("gcc", cc, cxx)}
        usual, proof = (f"{name} {said[name][0]}" for name in ("gcc", cc))
        chains = {usual: config, proof: replace(config, compilers=(cc, cxx, said[cc][1]))}
        # That the compilers do differ is seen in what they make of ours.
        made = {
            name: built(place, Plan.from_recipes(place), ["cross/gcc"])["cross/gcc"].output_digest
            for name, place in chains.items()
        }
        if len(set(made.values())) == 1:
            raise MereError(f"{proof} makes the same cross compiler as {usual}", hint="name another compiler")
    sweep = Sweep("with these compilers")
    for name, place in chains.items():
        graph = Plan.from_recipes(place)
        ids = ids_of(graph, [ROUNDS[1]])
        found = attempt(place, graph, ids)
        equal, different = {"cross/gcc": made[name]}, set[str]()
        for id in ids:
            packages = {file: sha256 for file, sha256 in recorded.packages.items() if _makes(graph.recipes[id], file)}
            if result := sweep.settle(f"{id} from {name}", partial(_as_recorded, place, packages, found[id])):
                equal |= result.equal
                different |= set(result.different)
        whole = not different and recorded.packages.keys() <= equal.keys()
        record_proof(config, name, equal if whole else {}, different)
    sweep.complain()
    note = f"{len(recorded.packages)} packages, all as recorded, from {usual} and from {proof}."
    return Table(("package", "sha256"), tuple(sorted(recorded.packages.items())), note=note)


def _in_time(ends: float | None, compare: Callable[..., Compared], *arguments: Any) -> Compared:
    """What `compare` returns, if the time is not up when its turn comes."""
    if ends is not None and time.time() >= ends:
        raise BudgetError("the time is up", hint="run again, with a later MERE_DEADLINE or a larger MERE_BUDGET")
    return compare(*arguments)


def _next_round(config: Config, first: Entry, second: Entry | Exception) -> Compared:
    """A build, and the same of the round after or why there is none."""
    if isinstance(second, DifferenceError):
        # The gate compares all that a recipe makes, and does not say which of it is equal.
        return Compared({}, tuple(first.outputs), (str(second),))
    if isinstance(second, Exception):
        raise second
    return compare_entries(config, first, second)


def _as_recorded(config: Config, packages: Mapping[str, str], entry: Entry | Exception) -> Compared:
    """The sums that are recorded of a recipe's packages, and a build of them or why there is none."""
    if isinstance(entry, DifferenceError):
        # They do not even come out the same twice.
        return Compared({}, tuple(packages), (str(entry),))
    if isinstance(entry, Exception):
        raise entry
    Store(config).verify(entry)
    found = digests_of((), [entry]).packages
    equal = dict(found.items() & packages.items())
    different = tuple(sorted((found.keys() | packages.keys()) - equal.keys()))
    if different:
        refuse_if_full(entry.path)
    return Compared(equal, different, tuple(changes(Digests({}, packages), Digests({}, found))), log=entry.log)


def _makes(recipe: Recipe, file: str) -> bool:
    return package_name(file) in recipe.packages


def _check_recipes(config: Config, recorded: Digests) -> None:
    """That the recipes are those of which sums are recorded can be seen before hours of building."""
    recipes = load_recipes(config).values()
    lost = {f: sha256 for f, sha256 in recorded.packages.items() if not any(_makes(recipe, f) for recipe in recipes)}
    found = Digests(digests_of(recipes, ()).sources, {f: s for f, s in recorded.packages.items() if f not in lost})
    check(config, found)


def _version(compiler: str) -> tuple[str, str]:
    """The number of the version of a compiler of the host, and all that its first line says of itself."""
    # Where builds look for it, too.
    environment = clean_environment()
    path = environment["PATH"]
    if shutil.which(compiler, path=path) is None:
        raise MereError(f"this host has no {compiler} in {path}", hint="install it, for instance with apt-get")

    def answer(*options: str) -> str:
        return subprocess.run([compiler, *options], capture_output=True, text=True, check=True, env=environment).stdout

    return answer("-dumpfullversion", "-dumpversion").strip(), answer("--version").splitlines()[0]
