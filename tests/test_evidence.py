"""The second build of a package: seen like those of a schedule, and stopped like them."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mere_helpers.building.jobserver import Jobserver
from mere_helpers.config import Config
from mere_helpers.reading import evidence
from mere_helpers.watching import live, panel
from mere_helpers.watching.frontend import interrupt_cell


@pytest.fixture
def build(tmp_path: Path) -> Any:
    config = Config(checkout=tmp_path, store=tmp_path, sources=tmp_path)
    with Jobserver(tmp_path / "jobs", 1) as jobserver:
        yield SimpleNamespace(config=config, id="packages/zlib", jobserver=jobserver)


def test_a_second_build_is_told_of(build: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert evidence._watched(build, lambda build: build.id) == "packages/zlib"
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("built   packages/zlib")


def test_a_second_build_has_a_panel_and_ends_before_its_cell(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    displayed: list[Any] = []
    monkeypatch.setattr(live, "front_end", lambda: True)
    monkeypatch.setattr(panel, "display", displayed.append)
    ended = threading.Event()

    def wait_for_the_end(build: Any) -> Any:
        # As a press of the button, from another thread.
        threading.Timer(0.2, interrupt_cell).start()
        assert build.jobserver.stop.wait(20)
        ended.set()
        raise ValueError("stopped")

    with pytest.raises(live.Stopped, match="0 of 1 builds are finished"):
        evidence._watched(build, wait_for_the_end)
    assert ended.is_set() and len(displayed) == 1
