"""The words of the cells that compare: with another build, another round, or what is recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

from ..building.builders import BUILDERS, Build, Builder, package_file
from ..building.comparison import differences, payload_digest
from ..building.costs import Event
from ..building.jobserver import Jobserver
from ..config import Config
from ..errors import DifferenceError
from ..planning.plan import ROUNDS
from ..session import Session
from ..store.store import Entry, Store
from ..verify.digests import check, digests_of, recorded_digests
from ..verify.provenance import published_packages, statements
from ..verify.records import recorded_proofs
from .default import session
from .table import Table, Text
from .widgets import live


@live.stoppable()
def compare(name: str) -> Table:
    """Build a package a second time, with everything as it was the first time, and put the sums side by side."""
    now = session()
    config, plan = now.config, now.plan
    (id,) = now.resolve([name])
    entries = now.ensure_built([id])
    first = entries[id]
    aside = Store(replace(config, store=config.work / "again"))
    if earlier := aside.find(first.key):
        aside.remove(earlier)
    # Whoever took a substitute has no sources yet.
    recipe = plan.recipes[id]
    now.ensure_fetched([recipe])
    needed = {dependency: entries[dependency] for dependency in plan.dependencies(id)}
    with Jobserver(config.work / "jobs", config.jobs - 1) as jobserver:
        again = Build(config, aside, plan, id, first.key, dict(first.meta["inputs"]), needed, jobserver)
        second = _watched(now, again, BUILDERS[recipe.stage])
    names = sorted(first.outputs.keys() | second.outputs.keys())
    rows = tuple((name, _sum(first, name), _sum(second, name)) for name in names)
    # The digest covers modes, links and folders, too.
    same = first.output_digest == second.output_digest
    aside.remove(second)
    return Table(("file", "first build", "second build"), rows, note="equal, bit for bit" if same else "they differ")


@live.stoppable()
def verdict() -> Table:
    """Every package as the temporary tools have built it, beside the same package as the system has built it: equal?

    The rebuild itself stops with an error at the first package that differs; this reads all of them once more.

    Raises
    ------
    DifferenceError
        Two payloads differ; the message names the members.
    """
    now = session()
    plan, ids = now.plan, now.resolve([ROUNDS[1]])
    entries = now.ensure_built(ids)
    files = [
        (package, package_file(entries[str(plan.reference(id))], package), package_file(entries[id], package))
        for id in ids
        for package in plan.recipes[id].packages
    ]
    published = digests_of((), now.published_entries()).packages
    with ThreadPoolExecutor(now.config.jobs) as threads:
        first = list(threads.map(payload_digest, (file for _, file, _ in files)))
        second = list(threads.map(payload_digest, (file for _, _, file in files)))
    rows = tuple(
        (package, one[:16], other[:16], "equal" if one == other else "they differ", published[file.name][:16])
        for (package, _, file), one, other in zip(files, first, second, strict=True)
    )
    equal = sum(one == other for one, other in zip(first, second, strict=True))
    columns = ("package", "payload, round 1", "payload, round 2", "", "published package")
    note = f"{equal} of {len(rows)} payloads are equal, bit for bit."
    if equal < len(rows):
        raise _unequal(now.config, note, [(entries[str(plan.reference(id))], entries[id]) for id in ids])
    return Table(columns, rows, note=note)


def digests() -> Text:
    """Are the sources and the published packages those that everybody should have, by ``recipes/digests.toml``?"""
    found = session().digests()
    check(session().config, found)
    return Text(
        f"{len(found.sources)} sources and {len(found.packages)} packages, all as recorded in recipes/digests.toml"
    )


def proofs() -> Table:
    """What the longer proofs have shown, by ``recipes/proofs.toml``, about each package in ``recipes/digests.toml``.

    Of the proofs with other compilers of the host, the first row has the sum of the cross compiler that they made.
    """
    config = session().config
    packages = recorded_digests(config).packages
    found = recorded_proofs(config)
    compilers = ("cross/gcc", "", *(proof.get("cross/gcc", "")[:16] for proof in found.values()))
    rows = tuple(
        (file.rsplit("-", 3)[0], sha256[:16], *(_shown(proof.get(file), sha256) for proof in found.values()))
        for file, sha256 in sorted(packages.items())
    )
    counts = [f"{name} {len(proof.items() & packages.items())}" for name, proof in found.items()]
    note = f"Equal, of {len(packages)}: {', '.join(counts)}."
    return Table(("package", "published", *found), (compilers, *rows), note=note)


def provenance(name: str) -> Table:
    """What a published package was made from and with: its recipe, its sources, the packages in its container."""
    now = session()
    packages = published_packages(now.plan.recipes, now.published_entries())
    recipe = now.plan.recipes[now.plan.provider(name)].name
    for line in statements(packages, now.config.recipes / "makepkg.conf").decode().splitlines():
        predicate = json.loads(line)["predicate"]["buildDefinition"]
        if predicate["externalParameters"]["recipe"] == recipe:
            rows = tuple((item["name"], item["digest"]["sha256"][:16]) for item in predicate["resolvedDependencies"])
    return Table(("made from, and with", "sha256"), rows, note=f"{len(rows)} files")


def _watched(now: Session, build: Build, builder: Builder) -> Entry:
    """One build, outside of any schedule, and shown as those of a schedule are."""
    began = time.monotonic()
    with now.progress.builds(build.config) as watch, ThreadPoolExecutor(1) as thread:
        watch(Event("started", build.id, 0.0, 0, 1, 0.0))
        try:
            # In a thread: an interrupt that came in the middle of it could not be cleaned up after.
            future = thread.submit(builder, build)
            # Ctrl-C in the moment before a wait is noticed only after it.
            while not wait([future], timeout=1.0).done:
                pass
            entry = future.result()
        except KeyboardInterrupt:
            # The build notices the event and tears down what it started.
            build.jobserver.stop.set()
            raise
        watch(Event("built", build.id, time.monotonic() - began, 1, 1, 0.0))
    return entry


def _unequal(config: Config, what: str, pairs: Iterable[tuple[Entry, Entry]]) -> DifferenceError:
    lines, folders = [what], []
    for pair in pairs:
        if found := differences(config, *(entry.tree for entry in pair)):
            lines += found
            folders += [str(entry.path) for entry in pair]
    # They were equal when they were built.
    return DifferenceError("\n".join(lines), hint=f"rm -rf {' '.join(folders)}   # these are built again, and compared")


def _shown(proved: str | None, published: str) -> str:
    if proved is None:
        return ""
    return "equal" if proved == published else "an older package"


def _sum(entry: Entry, name: str) -> str:
    return entry.outputs[name].sha256[:16] if name in entry.outputs else "missing"
