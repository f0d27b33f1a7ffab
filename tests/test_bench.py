"""Figures from measurements."""

from __future__ import annotations

from pathlib import Path

import pytest

from mere_helpers.config import Config
from mere_helpers.errors import ContainerError
from mere_helpers.press.bench import container_seconds, covered

pytest_plugins = ("tests.rooms",)


def test_time_in_which_anything_ran() -> None:
    assert covered([]) == 0
    assert covered([(5, 6), (0, 2), (1, 3)]) == 4
    assert covered([(0, 10), (2, 3)]) == 10


@pytest.mark.containers
def test_containers_that_do_nothing_are_not_counted(room: Config, busybox: Path) -> None:
    assert len(container_seconds(room, [busybox], 2)) == 2
    hollow = room.checkout / "hollow"
    hollow.mkdir()
    with pytest.raises(ContainerError, match="true ended with status"):
        container_seconds(room, [hollow], 2)
