"""Pictures are drawn without a front end, and only their captions are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from mere_helpers.config import Config
from mere_helpers.errors import ContainerError
from mere_helpers.reading.figure import container_figure, container_seconds, cost_figure
from mere_helpers.storage.store import Entry

pytest_plugins = ("tests.rooms",)


def test_costs_of_builds() -> None:
    entries = {
        f"cross/{name}": Entry(f"cross/{name}", name, Path(name), {"measures": {"cpu_s": cost}})
        for name, cost in (("gcc", 1000.0), ("make", 9.0))
    }
    drawn = cost_figure(entries, "what cross cost")
    assert repr(drawn) == "figure: what cross cost"
    assert drawn._repr_png_().startswith(b"\x89PNG")


def test_times_of_containers() -> None:
    drawn = container_figure([0.05, 0.06, 0.2])
    assert repr(drawn) == "figure: 3 containers, one after another"
    assert drawn._repr_png_().startswith(b"\x89PNG")


@pytest.mark.containers
def test_containers_that_do_nothing_are_not_counted(room: Config, busybox: Path) -> None:
    assert len(container_seconds(room, [busybox], 2)) == 2
    hollow = room.checkout / "hollow"
    hollow.mkdir()
    with pytest.raises(ContainerError, match="true ended with status"):
        container_seconds(room, [hollow], 2)
