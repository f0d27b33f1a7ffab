"""The schedule: runs what the plan asks for, side by side, the most urgent first, and nothing that is already there."""

from __future__ import annotations

import heapq
import os
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import TopologicalSorter

from ..config import Config
from ..errors import MereError, StoreError
from ..planning.plan import Plan
from ..store.store import Entry, Store
from .builders import BUILDERS, Build, Builder
from .costs import Event, Watch, costs, estimate
from .jobserver import Jobserver


class BudgetError(MereError):
    """The time that was given is used up, and something is not built yet; no build has failed."""


def run(
    config: Config,
    ids: Iterable[str],
    *,
    watch: Watch | None = None,
    plan: Plan | None = None,
    builders: Mapping[str, Builder] | None = None,
    workers: int | None = None,
) -> dict[str, Entry]:
    """Build these ids and all they need, or find them built; returns all of that closure, by id.

    Parameters
    ----------
    config : Config
        Its `jobs` is how many compilers may run at once. After `budget_s` seconds, or after the time in
        ``MERE_DEADLINE`` (seconds since 1970), no new build is started.
    watch : callable, optional
        Told of every `Event`, always by the calling thread.
    plan : Plan, optional
        By default made from the recipes.
    builders : mapping of str to callable, optional
        The builder of each stage.
    workers : int, optional
        Builds at once; by default one more than `jobs`, so that a configure script leaves no processor idle.

    Raises
    ------
    BuildError
        A build failed. Those that ran beside it were brought to their end and are kept; no new one was started. When
        several failed, the first is raised and names the others.
    BudgetError
        Time ran out; the message says what is missing.
    """
    plan = plan or Plan.from_recipes(config)
    workers = workers or config.jobs + 1
    state = _Run(config, plan, plan.closure(ids), builders or BUILDERS, watch or (lambda event: None))
    with ThreadPoolExecutor(workers, "build") as executor:
        try:
            state.work(executor, workers)
        except BaseException:
            # Ctrl-C, mostly. The builds notice the event and tear down what they started.
            state.stop.set()
            wait(state.running)
            raise
        finally:
            if state.jobserver:
                state.jobserver.close()
    state.complain()
    return state.done


def found(config: Config, ids: Iterable[str], *, plan: Plan | None = None) -> dict[str, Entry]:
    """What of these ids, and of all they need, is in the store as it is today; nothing is built."""
    plan = plan or Plan.from_recipes(config)
    store = Store(config)
    entries: dict[str, Entry] = {}
    for id in plan.closure(ids):
        if all(needed in entries for needed in plan.dependencies(id)):
            entry = store.find(_key(plan, id, entries))
            if entry:
                entries[id] = entry
    return entries


def offered(config: Config, ids: Iterable[str], *, plan: Plan | None = None, store: Store | None = None) -> set[str]:
    """What of these ids, and of all they need, is not in the store, but is among the substitutes; nothing is taken.

    A StoreError says that these cannot be read, or are not signed.
    """
    if config.substitutes is None:
        return set()
    plan = plan or Plan.from_recipes(config)
    store = store or Store(config)
    digests: dict[str, str] = {}
    ours: set[str] = set()
    for id in plan.closure(ids):
        if digests.keys() >= set(plan.dependencies(id)):
            key = plan.key(id, digests)
            if entry := store.find(key):
                ours.add(id)
                digests[id] = entry.output_digest
            elif digest := store.offered(key):
                digests[id] = digest
    return digests.keys() - ours


def deadline(config: Config) -> float | None:
    """The time, in seconds since 1970, after which no build starts; several runs of a book share ``MERE_DEADLINE``."""
    ends = [] if config.budget_s is None else [time.time() + config.budget_s]
    if value := os.environ.get("MERE_DEADLINE", ""):
        try:
            ends.append(float(value))
        except ValueError:
            hint = "give seconds since 1970: $(($(date +%s) + 3600))"
            raise MereError(f"MERE_DEADLINE is {value!r}, which is not a time", hint=hint) from None
    return min(ends, default=None)


def _key(plan: Plan, id: str, done: Mapping[str, Entry]) -> str:
    return plan.key(id, {needed: done[needed].output_digest for needed in plan.dependencies(id)})


@dataclass
class _Run:
    """One run: what is done, what runs, what could start."""

    config: Config
    plan: Plan
    wanted: tuple[str, ...]
    builders: Mapping[str, Builder]
    watch: Watch
    stop: threading.Event = field(default_factory=threading.Event)
    done: dict[str, Entry] = field(default_factory=dict)
    running: dict[Future[Entry], tuple[str, float]] = field(default_factory=dict)
    ready: list[tuple[float, int, str, str]] = field(default_factory=list)
    errors: list[tuple[str, BaseException]] = field(default_factory=list)
    jobserver: Jobserver | None = None

    def __post_init__(self) -> None:
        # The run is named after when it began, with milliseconds because a book starts many in one process.
        began = time.time()
        name = time.strftime("%Y%m%d-%H%M%S", time.gmtime(began)) + f".{began % 1 * 1000:03.0f}-{os.getpid()}"
        self.store = Store(self.config, self.stop, name)
        self.deadline = deadline(self.config)
        self.graph = TopologicalSorter({id: self.plan.dependencies(id) for id in self.wanted})
        self.graph.prepare()

    # Only who builds something needs to know what it costs, and mostly all is there.
    @cached_property
    def costs(self) -> dict[str, float]:
        """Seconds of processor time by id, from earlier runs; next to none where there is a substitute."""
        taken = offered(self.config, self.wanted, plan=self.plan, store=self.store)
        return costs(self.store, self.wanted) | dict.fromkeys(taken, 1.0)

    @cached_property
    def urgency(self) -> dict[str, float]:
        """Seconds from the start of a build to the end of everything, by id."""
        return self.plan.critical_path(self.costs)

    def work(self, executor: Executor, workers: int) -> None:
        """Start and await builds until nothing is left, or nothing may start any more."""
        for id in self.wanted:
            self._tell("queued", id)
        self._look()
        while True:
            while self.ready and len(self.running) < workers and not self.errors:
                if self.deadline is not None and time.time() >= self.deadline:
                    break
                self._start(executor)
            if not self.running:
                return
            finished, _ = wait(self.running, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in finished:
                self._finish(future)
            self._look()

    def complain(self) -> None:
        """Raise the first error, or a BudgetError, if there is reason to."""
        if self.errors:
            _, error = self.errors[0]
            others = [id for id, _ in self.errors[1:]]
            if others and isinstance(error, MereError):
                error.message += f"\nfailed, too: {', '.join(others)}"
            raise error
        missing = [id for id in self.wanted if id not in self.done]
        if missing:
            raise BudgetError(
                f"the time is up, and {len(missing)} of {len(self.wanted)} builds are missing: {', '.join(missing)}",
                hint="run again, with a later MERE_DEADLINE or a larger MERE_BUDGET; what is finished is kept",
            )

    def _look(self) -> None:
        """Take from the store what is there; queue the rest of what could start."""
        while self.graph.is_active() and (ids := self.graph.get_ready()):
            for id in ids:
                key = _key(self.plan, id, self.done)
                entry = self.store.find(key)
                if entry:
                    # Only a convenience, for `latest`: a store that cannot be written is good enough to read from.
                    with suppress(StoreError):
                        self.store.remember(entry)
                    self._done(id, entry, "found", time.time())
                else:
                    heapq.heappush(self.ready, (-self.urgency[id], self.wanted.index(id), id, key))

    def _start(self, executor: Executor) -> None:
        _, _, id, key = heapq.heappop(self.ready)
        dependencies = {needed: self.done[needed] for needed in self.plan.dependencies(id)}
        recipe = self.plan.recipes[id]
        inputs = {
            "recipe": recipe.digest,
            "sources": {source.name: source.sha256 for source in recipe.sources},
            "dependencies": {needed: entry.output_digest for needed, entry in dependencies.items()},
        }
        build = Build(self.config, self.store, self.plan, id, key, inputs, dependencies, self._open_jobserver())
        started = time.time()
        self.running[executor.submit(self._obtain, build)] = (id, started)
        self._tell("started", id)

    def _obtain(self, build: Build) -> Entry:
        return self.store.take(build.id, build.key) or self.builders[self.plan.recipes[build.id].stage](build)

    def _open_jobserver(self) -> Jobserver:
        if self.jobserver is None:
            # The first build of this run: what others left behind goes now, and not when there is nothing to build.
            self.store.clean()
            self.jobserver = Jobserver(self.config.work / "jobs", self.config.jobs - 1, self.stop)
        return self.jobserver

    def _finish(self, future: Future[Entry]) -> None:
        id, started = self.running.pop(future)
        error = future.exception()
        if error is None:
            entry = future.result()
            # Another run may have been quicker while this one waited for the lock.
            self._done(id, entry, "built" if entry.meta["run"] == self.store.run else "found", started)
        else:
            self.errors.append((id, error))
            self._tell("failed", id, time.time() - started)

    def _done(self, id: str, entry: Entry, how: str, started: float) -> None:
        self.done[id] = entry
        self.graph.done(id)
        self._tell(how, id, time.time() - started if how == "built" else 0.0)

    def _tell(self, kind: str, id: str, seconds: float = 0.0) -> None:
        left = 0.0
        if self.ready or self.running:
            spent = {id: time.time() - started for id, started in self.running.values()}
            left = estimate(self.costs, [id for id in self.wanted if id not in self.done], spent, self.config.jobs)
        self.watch(Event(kind, id, seconds, len(self.done), len(self.wanted), left))
