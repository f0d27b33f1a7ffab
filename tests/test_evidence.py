"""The words that compare: a second build is seen and stopped like those of a schedule; two rounds are held together."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mere_helpers.building.jobserver import Jobserver
from mere_helpers.config import Config
from mere_helpers.errors import DifferenceError
from mere_helpers.planning.plan import Plan
from mere_helpers.press import evidence
from mere_helpers.press.widgets.live import Panels, Stopped, interrupt_cell
from mere_helpers.store.store import Entry

from .rooms import write_package


@pytest.fixture
def build(tmp_path: Path) -> Any:
    config = Config(checkout=tmp_path, store=tmp_path, sources=tmp_path)
    with Jobserver(tmp_path / "jobs", 1) as jobserver:
        yield SimpleNamespace(config=config, id="packages/zlib", jobserver=jobserver)


def test_a_second_build_is_told_of(build: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert evidence._watched(SimpleNamespace(progress=Panels()), build, lambda build: build.id) == "packages/zlib"
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("built   packages/zlib")


def test_a_second_build_has_a_panel_and_ends_before_its_cell(build: Any, front_end: SimpleNamespace) -> None:
    ended = threading.Event()

    def wait_for_the_end(build: Any) -> Any:
        # As a press of the button, from another thread.
        threading.Timer(0.2, interrupt_cell).start()
        assert build.jobserver.stop.wait(20)
        ended.set()
        raise ValueError("stopped")

    with pytest.raises(Stopped, match="0 of 1 builds are finished"):
        evidence._watched(SimpleNamespace(progress=Panels()), build, wait_for_the_end)
    assert ended.is_set()


def _two_rounds(config: Config, monkeypatch: pytest.MonkeyPatch, **second: str) -> None:
    """All packages of the small checkout as both rounds have made them; the second one has these texts in some."""
    graph = Plan.from_recipes(config)
    entries = {}
    for id, recipe in graph.recipes.items():
        texts = {name: second.get(name, "bytes") if recipe.stage == "rebuild" else "bytes" for name in recipe.packages}
        tree = config.store / id / "out"
        files = [write_package(tree, name, {"same": "", "lib": text}) for name, text in texts.items()]
        outputs = {file.name: {"sha256": "a" * 64, "size": 1, "mode": 0o644} for file in files}
        entries[id] = Entry(id, id, tree.parent, {"outputs": outputs})
    monkeypatch.setattr(evidence, "load_config", lambda: config)
    monkeypatch.setattr(evidence, "built", lambda config, graph, ids: entries)
    published = [entry for id, entry in entries.items() if id.startswith("rebuild/")]
    monkeypatch.setattr(evidence.wanted, "published_entries", lambda config: published)


def test_two_rounds_that_are_equal(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    _two_rounds(config, monkeypatch)
    assert evidence.verdict().note == "8 of 8 payloads are equal, bit for bit."


def test_two_rounds_that_differ_are_an_error_that_names_the_member(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    _two_rounds(config, monkeypatch, zlib="other")
    with pytest.raises(DifferenceError, match="7 of 8 payloads are equal") as caught:
        evidence.verdict()
    first, *_ = caught.value.message.splitlines()[1:]
    assert first == "zlib-1-1-x86_64.pkg.tar.zst: lib differs"
    assert caught.value.hint.startswith(f"rm -rf {config.store}/packages/zlib {config.store}/rebuild/zlib   #")
