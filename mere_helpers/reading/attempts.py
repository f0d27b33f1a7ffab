"""Builds of which each is wanted for itself: where one fails, the others are tried nevertheless."""

from __future__ import annotations

from collections.abc import Iterable

from ..building import schedule
from ..building.builders import BUILDERS, Build, Builder
from ..config import Config
from ..errors import DifferenceError, MereError, StoreError
from ..recipes.plan import Plan
from ..storage.store import Entry
from ..watching import live
from .sweep import TROUBLE


def attempt(config: Config, plan: Plan, ids: Iterable[str]) -> dict[str, Entry | Exception]:
    """Build these ids and all they need, or find them built; go on with the others where one fails.

    The schedule stops at the first error, because mostly all is wanted or nothing. Here it is started again with those
    builds that do not need the failed one.

    Returns
    -------
    dict of str to Entry or Exception
        Each of `ids`, or why it is missing. That is a DifferenceError if, and only if, this very build was finished,
        is not equal to its reference, and all that it was made from is still what was stored.
    """
    wanted = list(dict.fromkeys(ids))
    failed: dict[str, Exception] = {}
    builders = {stage: _noting(builder, failed) for stage, builder in BUILDERS.items()}
    missing: dict[str, Exception] = {}
    while pending := [id for id in wanted if id not in missing]:
        before = len(failed)
        try:
            with live.watching(config) as watch:
                schedule.run(config, pending, watch=watch, plan=plan, builders=builders)
            break
        except TROUBLE as error:
            if len(failed) == before:
                # No build has failed, but the time is up, or the store cannot be used: each would meet with it.
                missing |= dict.fromkeys(pending, error)
            for id in pending:
                if bad := [needed for needed in plan.closure([id]) if needed in failed]:
                    missing[id] = failed[id] if id in failed else _needs(bad[0], failed[bad[0]])
    entries = schedule.found(config, wanted, plan=plan)
    return {id: entries.get(id) or missing.get(id) or _lost(id) for id in wanted}


def _noting(builder: Builder, failed: dict[str, Exception]) -> Builder:
    def build(about: Build) -> Entry:
        try:
            return builder(about)
        except Exception as error:
            failed[about.id] = error
            if isinstance(error, DifferenceError):
                failed[about.id] = _damage(about) or error
            raise

    return build


def _damage(about: Build) -> Exception | None:
    """What has changed in the store since it was stored, and so may be all that differs."""
    try:
        for needed in about.dependencies.values():
            about.store.verify(needed)
    except TROUBLE as error:
        return error
    return None


def _lost(id: str) -> StoreError:
    return StoreError(f"{id} was finished, and is not in the store any more", hint="run again")


def _needs(id: str, error: Exception) -> MereError:
    return MereError(f"it needs {id}, which is missing: {error}")
