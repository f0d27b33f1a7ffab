"""The commands that prove something, or renew what is recorded; some of them take as long as the bootstrap."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from ..building.builders import installer
from ..building.jobserver import Jobserver
from ..building.schedule import found
from ..config import Config, clean_environment
from ..errors import BuildError, MereError
from ..fetching import usual as usual_packages
from ..proving.digests import check, digests_of, recorded_digests, update
from ..proving.record import record_proof
from ..proving.reproduce import reproduce
from ..proving.variation import VARIED, vary
from ..recipes.plan import ROUNDS, Plan
from ..recipes.recipe import load_recipe
from ..report import Table, Text
from . import evidence
from .wanted import built, fetched, ids_of, published_digests


def digests(config: Config, *, renew: bool = False) -> Text:
    """Compare sources and published packages with ``recipes/digests.toml``, or write it and say what has changed."""
    if not renew:
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
    """Build a package of a repository again, from what it says about itself."""
    graph = Plan.from_recipes(config)
    pacman = installer(graph, built(config, graph, [graph.installer]))
    recorded = recorded_digests(config).packages
    equal = reproduce(config, graph, file.resolve(), pacman, sums=recorded)
    # What makes itself again, as a compiler can, may still be what nobody else gets.
    other = [name for name, sha256 in equal.items() if recorded.get(name) != sha256]
    note = f"Not as in recipes/digests.toml: {', '.join(other)}." if other else ""
    return Table(("package", "built again"), tuple((name, "the same bytes") for name in equal), note=note)


def confirm(config: Config) -> Table:
    """Build a third round from the second.

    Raises
    ------
    BuildError
        A package is not equal in every byte.
    """
    graph = Plan.from_recipes(config, rounds=3)
    ids = ids_of(graph, ["confirm"])
    try:
        entries = built(config, graph, ids)
    except BuildError:
        # A payload differs, or a build failed: what this run has not shown is not taken for shown.
        shown = found(config, ids, plan=graph)
        second = found(config, (str(graph.reference(id)) for id in ids if id not in shown), plan=graph)
        record_proof(config, "round 3", {}, refuted={file for entry in second.values() for file in entry.outputs})
        raise
    others = [id for id in ids if entries[id].output_digest != entries[str(graph.reference(id))].output_digest]
    equal = digests_of((), (entries[id] for id in ids if id not in others)).packages
    record_proof(config, "round 3", equal, {file for id in others for file in entries[id].outputs})
    note = f"{len(ids) - len(others)} of {len(ids)} are equal in every byte"
    if others:
        raise BuildError(f"{note}; not so {', '.join(others)}")
    return Table(("recipe", "round 3"), tuple((graph.recipes[id].name, "equal") for id in ids), note=note)


def elsewhere(config: Config, names: Sequence[str]) -> Table:
    """Build packages of the second round, all by default, under other circumstances.

    It is recorded of those alone that are as in ``recipes/digests.toml``, and not of what a reader has made of them.

    Raises
    ------
    BuildError
        One is not equal in every byte.
    """
    graph = Plan.from_recipes(config)
    # Two packages may come from one recipe.
    recipes = dict.fromkeys(load_recipe(config, name).name for name in names)
    ids = [f"{ROUNDS[1]}/{name}" for name in recipes] or ids_of(graph, [ROUNDS[1]])
    entries = built(config, graph, ids)
    fetched(config, [graph.recipes[id] for id in ids])
    recorded = recorded_digests(config).packages
    equal: list[str] = []
    wrong: list[str] = []
    jobs = config.jobs + 3
    with Jobserver(config.work / "jobs", jobs - 1) as jobserver, ThreadPoolExecutor(config.jobs, "vary") as executor:
        try:
            again = {executor.submit(vary, config, graph, id, entries, jobserver): id for id in ids}
            for future in as_completed(again):
                entry = entries[again[future]]
                known = dict(digests_of((), [entry]).packages.items() & recorded.items())
                try:
                    future.result()
                except MereError as error:
                    wrong.append(f"{entry.id}: {error}")
                    shown, refuted, said = {}, known, "not equal"
                else:
                    equal += entry.outputs
                    shown, refuted, said = known, {}, "equal"
                # Recorded at once: the whole takes long, and what is shown is shown.
                if known:
                    record_proof(config, "elsewhere", shown, refuted)
                note = "" if known else ", which is not as in recipes/digests.toml: nothing is recorded"
                print(f"{said}  {entry.id}{note}", file=sys.stderr, flush=True)
        except BaseException:
            # Ctrl-C, mostly. The builds notice the event and tear down what they started.
            jobserver.stop.set()
            executor.shutdown(cancel_futures=True)
            raise
    if wrong:
        raise BuildError("\n\n".join([*wrong, f"{len(wrong)} of {len(ids)} recipes are not equal elsewhere"]))
    rows = tuple((file, "equal") for file in sorted(equal))
    return Table(("package", "elsewhere"), rows, note=f"other than before: {'; '.join(VARIED)}")


def chain(config: Config, cc: str, cxx: str) -> Table:
    """Build everything, from the cross toolchain on, with other compilers of the host (diverse double-compiling).

    Raises
    ------
    MereError
        The host lacks one of the compilers, or they make the same cross compiler as the host's usual one.
    BuildError
        A published package is not the recorded one, or does not even come out the same twice.
    """
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
    recorded = recorded_digests(config).packages
    for name, place in chains.items():
        packages: Mapping[str, str] = {}
        try:
            digests = published_digests(place)
            packages = digests.packages
            check(config, digests)
        except BuildError:
            wrong = [file for file, sha256 in recorded.items() if packages.get(file) != sha256]
            record_proof(config, name, {}, refuted=wrong)
            raise
        record_proof(config, name, {**packages, "cross/gcc": made[name]})
    note = f"{len(recorded)} packages, all as recorded, from {usual} and from {proof}."
    return Table(("package", "sha256"), tuple(sorted(recorded.items())), note=note)


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
