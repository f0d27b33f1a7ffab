"""Who needs whom: the graph of the builds, with nothing in it that follows from the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..recipes.plan import ROUNDS, Plan, reachable


def relations(plan: Plan) -> dict[str, tuple[str, ...]]:
    """What each build of a recipe needs directly, by id; each comes behind what it needs.

    The plan lists for a build everything that is in its container. A dependency that another dependency of the same
    build needs already is left out here, and so are the later rounds, which repeat the first one.
    """
    ids = [id for id in plan.order() if id.partition("/")[0] not in ROUNDS[1:]]
    all_needed: dict[str, set[str]] = {}
    direct = {}
    for id in ids:
        needed = [other for other in ids if other in plan.dependencies(id)]
        implied = {other for one in needed for other in all_needed[one]}
        all_needed[id] = {*needed, *implied}
        direct[id] = tuple(other for other in needed if other not in implied)
    return direct


def around(needs: Mapping[str, Sequence[str]], id: str) -> tuple[set[str], set[str]]:
    """All that a build needs, and all that need it, directly or by way of others."""
    users = {other: [one for one in needs if other in needs[one]] for other in needs}
    return reachable(needs[id], needs.__getitem__), reachable(users[id], users.__getitem__)
