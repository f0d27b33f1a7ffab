"""What all attacks share: the probe, a host with canaries, the figures at the end."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mere_helpers.config import Config
from mere_helpers.store.store import Entry

from ..rooms import busybox, host_tools, installer, room
from .doors import probe_entry
from .outside import Outside
from .score import Score, table

__all__ = ["busybox", "host_tools", "installer", "room"]


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of all probes, without libraries, so that it runs in every root."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc on this host")
    program = tmp_path_factory.mktemp("attacks") / "probe"
    source = Path(__file__).with_name("probe.c")
    done = subprocess.run(["gcc", "-static", "-O1", "-o", program, source], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this host cannot link static programs: {done.stderr[-300:]}")
    return program


@pytest.fixture(scope="module")
def outside(room: Config, probe: Path) -> Iterator[Outside]:
    """The host, with things on it that nothing which is built may reach."""
    with Outside(room, probe)() as host:
        yield host


@pytest.fixture(scope="module")
def tool(room: Config, probe: Path) -> Entry:
    """The probe, as a tool of steps and cells."""
    return probe_entry(room, probe)


@pytest.fixture
def score(request: pytest.FixtureRequest) -> Score:
    """Counts what was tried and held: ``score("mirrors", effects)`` fails where there are effects."""
    return Score(request.config)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = table(config)
    if lines:
        terminalreporter.section("attacks")
        for line in lines:
            terminalreporter.write_line(line)
