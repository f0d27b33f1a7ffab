"""What the tests of attacks have found, for the table at their end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

_SCORES = pytest.StashKey[dict[str, Counter]]()


class Score:
    """Counts the attacks of each area."""

    def __init__(self, config: pytest.Config) -> None:
        self.scores = config.stash.setdefault(_SCORES, {})

    def __call__(self, area: str, found: Sequence[str], *, bad: str = "got out", allowed: str = "") -> None:
        """Count one attack, and fail if it has had an effect that is not `allowed`, with a reason."""
        __tracebackhide__ = True
        counts = self.scores.setdefault(area, Counter())
        counts["tried"] += 1
        counts["held" if not found else bad] += 1
        if found and not allowed:
            pytest.fail("; ".join(found), pytrace=False)


def table(config: pytest.Config) -> list[str]:
    """The figures, a line for each area."""
    lines = []
    for area, counts in config.stash.get(_SCORES, {}).items():
        more = ", ".join(f"{number} {what}" for what, number in counts.items() if what not in ("tried", "held"))
        lines.append(f"{area:<28} {counts['tried']:>4} tried {counts['held']:>4} held   {more}".rstrip())
    return lines
