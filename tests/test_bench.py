"""Figures from measurements."""

from __future__ import annotations

from mere_helpers.reading.bench import covered, peak


def test_time_in_which_anything_ran() -> None:
    assert covered([]) == 0
    assert covered([(5, 6), (0, 2), (1, 3)]) == 4
    assert covered([(0, 10), (2, 3)]) == 10


def test_memory_of_builds_side_by_side() -> None:
    measures = [
        {"started": 0, "ended": 2, "peak_bytes": 10},
        {"started": 1, "ended": 3, "peak_bytes": 5},
        {"started": 2, "ended": 4, "peak_bytes": 7},
    ]
    assert peak(measures) == 15
    assert peak([]) == 0
