"""The commands that prove something, or renew what is recorded; some of them take as long as the bootstrap.

Each raises a DifferenceError if one of its comparisons has ended with a difference; else a BudgetError if nothing but
time is lacking, or a MereError if something could not be tried.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..building.builders import installer
from ..building.jobserver import Jobserver
from ..building.package_file import package_name
from ..building.scheduler import BudgetError, deadline
from ..config import Config, clean_environment
from ..errors import MereError
from ..planning.plan import ROUNDS
from ..planning.recipe import Recipe
from ..session import Session
from ..store.store import Entry, Store
from ..verify.comparisons import Comparison, Sweep, attempt, compare_attempt, compare_entries, refuse_if_full, trying
from ..verify.digests import Digests, changes, check, digests_of, recorded_digests, update
from ..verify.records import record_proof
from ..verify.repro import reproduce
from ..verify.vary import VARIED, vary
from . import debian_packages as usual_packages
from . import evidence
from .table import Table, Text


def digests(now: Session, *, renew: bool = False) -> Text:
    """Compare sources and published packages with ``recipes/digests.toml``, or write it and say what has changed."""
    if not renew:
        with trying("the comparison with recipes/digests.toml"):
            return evidence.digests()
    return Text("\n".join(update(now.config, now.digests())) or "nothing has changed")


def usual(now: Session, *, renew: bool = False) -> Text:
    """Compare ``book/usual-packages.toml`` with Debian's archive of today, or write it and say what has changed."""
    today = usual_packages.found(now.config)
    changed = usual_packages.changes(usual_packages.recorded(now.config), today)
    if renew:
        usual_packages.update(now.config, today)
    return Text("\n".join(changed) or "nothing has changed")


def rebuild(now: Session, file: Path, *, reproduce: Callable[..., Comparison] = reproduce) -> Table:
    """Build a package of a repository again, from what it says about itself."""
    recorded = recorded_digests(now.config).packages
    with trying(file.name):
        pacman = installer(now.plan, now.ensure_built([now.plan.installer]))
        result = reproduce(now.config, now.plan, file.resolve(), pacman, sums=recorded)
    if result.different:
        raise result.error("cannot be reproduced")
    # What makes itself again, as a compiler can, may still be what nobody else gets.
    other = [name for name, sha256 in result.equal.items() if recorded.get(name) != sha256]
    note = f"Not as in recipes/digests.toml: {', '.join(other)}." if other else ""
    return Table(("package", "built again"), tuple((name, "the same bytes") for name in result.equal), note=note)


def confirm(now: Session) -> Table:
    """Build a third round from the second."""
    now = now.with_rounds(3)
    config, plan, ids = now.config, now.plan, now.resolve([ROUNDS[2]])
    with trying("the third round"):
        second = now.ensure_built([needed for id in ids for needed in plan.dependencies(id)])
    third = attempt(config, plan, ids, now.progress)
    sweep = Sweep("in a third round")
    for id in ids:
        first = second[str(plan.reference(id))]
        compare = partial(compare_attempt, third[id], first.outputs, partial(compare_entries, config, first))
        if result := sweep.settle(id, compare):
            record_proof(config, "round 3", result.equal, result.different)
    sweep.raise_if_failed()
    rows = tuple((plan.recipes[id].name, "equal") for id in ids)
    return Table(("recipe", "round 3"), rows, note=f"{len(ids)} of {len(ids)} are equal in every byte")


def elsewhere(now: Session, names: Sequence[str], *, vary: Callable[..., Comparison] = vary) -> Table:
    """Build packages of the second round, all by default, under other circumstances.

    It is recorded of those alone that are as in ``recipes/digests.toml``, and not of what a reader has made of them.
    """
    config, plan, ends = now.config, now.plan, deadline(now.config)
    # Two packages may come from one recipe.
    ids = [f"{ROUNDS[1]}/{name}" for name in dict.fromkeys(now.recipe(name).name for name in names)]
    ids = ids or now.resolve([ROUNDS[1]])
    with trying("the build elsewhere"):
        entries = now.ensure_built(ids)
        now.ensure_fetched([plan.recipes[id] for id in ids])
    recorded = recorded_digests(config).packages
    equal: list[str] = []
    sweep = Sweep("elsewhere")

    def compare(id: str) -> Comparison:
        if ends is not None and time.time() >= ends:
            raise BudgetError("the time is up", hint="run again, with a later MERE_DEADLINE or a larger MERE_BUDGET")
        return vary(config, plan, id, entries, jobserver)

    jobs = config.jobs + 3
    with Jobserver(config.work / "jobs", jobs - 1) as jobserver, ThreadPoolExecutor(config.jobs, "vary") as executor:
        try:
            again = {executor.submit(compare, id): id for id in ids}
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
    sweep.raise_if_failed()
    rows = tuple((file, "equal") for file in sorted(equal))
    return Table(("package", "elsewhere"), rows, note=f"other than before: {'; '.join(VARIED)}")


def chain(now: Session, cc: str, cxx: str, *, path: str = clean_environment()["PATH"]) -> Table:
    """Build everything, from the cross toolchain on, with other compilers of the host (diverse double-compiling).

    The proof is about all packages: it is recorded when all of a chain are as recorded. `path` is where builds look for
    compilers.
    """
    config = now.config
    recorded = recorded_digests(config)
    # That the recipes are those of which checksums are recorded can be seen before hours of building.
    recipes = now.recipes()
    made = {f: sha256 for f, sha256 in recorded.packages.items() if any(_makes(recipe, f) for recipe in recipes)}
    check(config, Digests(digests_of(recipes, ()).sources, made))
    with trying("the proof with other compilers"):
        said = {name: _version(name, path) for name in ("gcc", cc, cxx)}
        usual, proof = (f"{name} {said[name][0]}" for name in ("gcc", cc))
        chains = {usual: now, proof: Session(replace(config, compilers=(cc, cxx, said[cc][1])), now.progress)}
        # That the compilers do differ is seen in what they make of ours.
        cross = {name: one.ensure_built(["cross/gcc"])["cross/gcc"].output_digest for name, one in chains.items()}
        if len(set(cross.values())) == 1:
            raise MereError(f"{proof} makes the same cross compiler as {usual}", hint="name another compiler")
    sweep = Sweep("with these compilers")
    for name, one in chains.items():
        plan, ids = one.plan, one.resolve([ROUNDS[1]])
        attempts = attempt(one.config, plan, ids, now.progress)
        equal, different = {"cross/gcc": cross[name]}, set[str]()
        for id in ids:
            packages = {file: sha256 for file, sha256 in recorded.packages.items() if _makes(plan.recipes[id], file)}
            # A difference between the rounds: they do not even come out the same twice.
            compare = partial(compare_attempt, attempts[id], packages, partial(_as_recorded, config, packages))
            if result := sweep.settle(f"{id} from {name}", compare):
                equal |= result.equal
                different |= set(result.different)
        whole = not different and recorded.packages.keys() <= equal.keys()
        record_proof(config, name, equal if whole else {}, different)
    sweep.raise_if_failed()
    note = f"{len(recorded.packages)} packages, all as recorded, from {usual} and from {proof}."
    return Table(("package", "sha256"), tuple(sorted(recorded.packages.items())), note=note)


def _as_recorded(config: Config, packages: Mapping[str, str], entry: Entry) -> Comparison:
    """The checksums that are recorded of a recipe's packages, and a build of them."""
    Store(config).verify(entry)
    found = digests_of((), [entry]).packages
    equal = dict(found.items() & packages.items())
    different = tuple(sorted((found.keys() | packages.keys()) - equal.keys()))
    if different:
        refuse_if_full(entry.path)
    return Comparison(equal, different, tuple(changes(Digests({}, packages), Digests({}, found))), log=entry.log)


def _makes(recipe: Recipe, file: str) -> bool:
    return package_name(file) in recipe.packages


def _version(compiler: str, path: str) -> tuple[str, str]:
    """The number of the version of a compiler of the host, and all that its first line says of itself."""
    if shutil.which(compiler, path=path) is None:
        raise MereError(f"this host has no {compiler} in {path}", hint="install it, for instance with apt-get")

    def answer(*options: str) -> str:
        environment = clean_environment(PATH=path)
        return subprocess.run([compiler, *options], capture_output=True, text=True, check=True, env=environment).stdout

    return answer("-dumpfullversion", "-dumpversion").strip(), answer("--version").splitlines()[0]
