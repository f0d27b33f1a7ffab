"""What has come out of a second build: equal, different, or not tried. Only a finished comparison shows a difference.

A `Comparison` is data. Whatever keeps one from coming to its end, such as a full disk, is an error, and shows nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..building.build import build
from ..building.builders import BUILDERS, Build, BuildEnvironment, Builder, package_work
from ..building.comparison import NOT_IN_PAYLOAD, differences
from ..building.jobserver import Jobserver
from ..building.scheduler import BudgetError, found, run
from ..config import Config
from ..errors import BuildError, DifferenceError, MereError, StoreError
from ..files import FULL, is_full
from ..planning.plan import Plan
from ..planning.recipe import Recipe
from ..progress import Progress
from ..store.store import Entry, Store

#: What stands in the way of a comparison; anything else is a mistake of ours, and seen as such.
TROUBLE = (MereError, OSError)


@dataclass(frozen=True)
class Comparison:
    """Package files of two builds, compared in every byte."""

    #: The sha256 of those that are the same, by file name; the names of all others; where these differ.
    equal: Mapping[str, str]
    different: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    #: What may be the reason; and the log of the second build.
    hint: str = field(default="", compare=False)
    log: Path | None = field(default=None, compare=False)

    def error(self, what: str) -> DifferenceError:
        """The difference as an error that begins with `what`."""
        message = "\n".join([f"{what}: {', '.join(self.different)}", *self.lines])
        return DifferenceError(message, hint=self.hint, log=self.log)


def compare_entries(config: Config, first: Entry, second: Entry) -> Comparison:
    """Two builds of the same packages, by their checksums, sizes and modes in the store."""
    one, other = first.outputs, second.outputs
    equal = {name: output.sha256 for name, output in one.items() if other.get(name) == output}
    different = tuple(sorted((one.keys() | other.keys()) - equal.keys()))
    if not different:
        return Comparison(equal)
    refuse_if_full(second.path)
    return Comparison(equal, different, where(config, first.tree, second.tree), log=second.log)


def where(config: Config, first: Path, second: Path) -> tuple[str, ...]:
    """Where the packages in two directories differ, of which is known that they do: no error changes that any more."""
    try:
        return tuple(differences(config, first, second)) or (NOT_IN_PAYLOAD,)
    except TROUBLE as error:
        return (f"(where they differ could not be found out: {error})",)


def refuse_if_full(folder: Path) -> None:
    """Raise StoreError for a build that differs on a full disk: it may lack what could not be written."""
    if is_full(folder):
        raise StoreError("the packages differ, but the disk is full, which may be the only reason", hint=FULL)


def build_again(
    config: Config,
    recipe: Recipe,
    layers: Sequence[Path],
    jobserver: Jobserver,
    key: str,
    surroundings: BuildEnvironment | None = None,
) -> Entry:
    """Build a package in a store aside; what an earlier comparison has left there does not count."""
    store = Store(config)
    if earlier := store.find(key):
        store.remove(earlier)
    work = package_work(config, recipe, layers, surroundings)
    return build(config, store, recipe, work, jobserver, key=key)


def attempt(config: Config, plan: Plan, ids: Iterable[str], progress: Progress) -> dict[str, Entry | Exception]:
    """Build these ids and all they need, or find them built; go on with the others where one fails.

    The scheduler stops at the first error, because mostly all is wanted or nothing. Here it is started again with those
    builds that do not need the failed one. Returned is each of `ids`, or why it is missing: that is a DifferenceError
    if, and only if, this very build was finished, is not equal to its reference, and all that it was made from is still
    what was stored.
    """
    ids = list(dict.fromkeys(ids))
    failed: dict[str, Exception] = {}
    missing: dict[str, Exception] = {}
    builders = {stage: _noting(builder, failed) for stage, builder in BUILDERS.items()}
    while pending := [id for id in ids if id not in missing]:
        before = len(failed)
        try:
            with progress.builds(config) as watch:
                run(config, pending, watch=watch, plan=plan, builders=builders)
            break
        except TROUBLE as error:
            if len(failed) == before:
                # No build has failed, but the time is up, or the store cannot be used: each would meet with it.
                missing |= dict.fromkeys(pending, error)
            for id in pending:
                if bad := [needed for needed in plan.closure([id]) if needed in failed]:
                    reason = f"it needs {bad[0]}, which is missing: {failed[bad[0]]}"
                    missing[id] = failed.get(id) or MereError(reason)
    entries = found(config, ids, plan=plan)
    lost = "was finished, and is not in the store any more"
    return {id: entries.get(id) or missing.get(id) or StoreError(f"{id} {lost}", hint="run again") for id in ids}


def compare_attempt(
    attempted: Entry | Exception, files: Iterable[str], compare: Callable[[Entry], Comparison]
) -> Comparison:
    """Compare what `attempt` has built. These files all differ where it was another than its reference.

    The gate compares all that a recipe makes, and does not say which of it is equal.
    """
    if isinstance(attempted, DifferenceError):
        return Comparison({}, tuple(files), (str(attempted),))
    if isinstance(attempted, Exception):
        raise attempted
    return compare(attempted)


def _noting(builder: Builder, failed: dict[str, Exception]) -> Builder:
    def build(about: Build) -> Entry:
        try:
            return builder(about)
        except Exception as error:
            failed[about.id] = error
            if isinstance(error, DifferenceError):
                # What has changed in the store since it was stored may be all that differs.
                try:
                    for needed in about.dependencies.values():
                        about.store.verify(needed)
                except TROUBLE as damage:
                    failed[about.id] = damage
            raise

    return build


@dataclass
class Sweep:
    """The comparisons of one command; each is told of on standard error when it ends, and bad ones again at the end."""

    #: How the second builds are made, such as ``elsewhere``.
    how: str
    equal: int = 0
    #: Where builds differ, or why there is no answer, in words; and the errors that kept it from us.
    different: list[str] = field(default_factory=list)
    untried: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def settle(self, id: str, compare: Callable[[], Comparison], note: str = "") -> Comparison | None:
        """What `compare` returns, told of with a `note`; None if an error kept it from coming to its end."""
        try:
            result = compare()
        except TROUBLE as error:
            # That the first build did succeed makes one that fails no difference of bytes.
            failed = isinstance(error, BuildError) and error.hint != FULL
            how = f"it could not be built {self.how}: " if failed else ""
            self.untried.append(f"{id} could not be tried: {how}{error}")
            self.errors.append(error)
            _say(self.untried[-1].partition("\n")[0])
            return None
        if result.different:
            self.different.append(str(result.error(f"{id} is not equal {self.how}")))
        else:
            self.equal += 1
        _say(f"{'not equal' if result.different else 'equal'}  {id}{note}")
        return result

    def raise_if_failed(self) -> None:
        """Raise a DifferenceError if something differs, a BudgetError if only time is lacking, else a MereError.

        The message tells also of what could not be tried.
        """
        total = self.equal + len(self.different) + len(self.untried)
        lines = [*self.different, *self.untried]
        if self.different:
            lines.append(f"{len(self.different)} of {total} recipes are not equal {self.how}")
        if self.untried:
            kept = "what recipes/proofs.toml says of them is left as it was"
            lines.append(f"{len(self.untried)} of {total} could not be tried; {kept}")
        if lines:
            raise (DifferenceError if self.different else _kind(self.errors))("\n\n".join(lines))


@contextmanager
def trying(what: str) -> Iterator[None]:
    """For what has to be done before anything can be compared: an error of the block says that `what` was not tried.

    A difference passes, and so does Ctrl-C.
    """
    try:
        yield
    except DifferenceError:
        raise
    except TROUBLE as error:
        raise _kind([error])(f"{what} could not be tried: {error}") from error


def _kind(untried: Iterable[Exception]) -> type[MereError]:
    return BudgetError if all(isinstance(error, BudgetError) for error in untried) else MereError


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
