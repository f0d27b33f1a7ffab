"""The desk belongs to one process that lives, and a command on it ends with all that it has started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mere_helpers.config import Config
from mere_helpers.errors import BuildError
from mere_helpers.reading import desk

_USE = """
import sys
from pathlib import Path
from mere_helpers.config import Config
from mere_helpers.reading.desk import desk
print(desk(Config(Path(), Path(sys.argv[1]), Path())), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def here(config: Config) -> Iterator[Config]:
    yield config
    desk.clear_desk(config)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_what_a_dead_process_with_our_number_left_is_not_found(here: Config) -> None:
    left = here.work / "desk" / str(os.getpid()) / "files" / "old"
    left.parent.mkdir(parents=True)
    left.write_text("old")
    assert desk.run_on_host(here, "ls") == ""
    assert not left.exists()


def test_a_desk_stays_as_long_as_its_process_lives(here: Config) -> None:
    command = [sys.executable, "-c", _USE, here.store]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        theirs = Path(other.stdout.readline().strip())
        assert desk.desk(here) != theirs and theirs.is_dir()
        other.kill()
    assert theirs.is_dir()
    desk.clear_desk(here)
    desk.desk(here)
    assert not theirs.exists()


def test_it_goes_with_its_process(here: Config) -> None:
    done = subprocess.run([sys.executable, "-c", _USE, here.store], input="", capture_output=True, text=True)
    assert not Path(done.stdout.strip()).exists()
    assert list((here.work / "desk").glob("*/")) == []


def test_a_desk_that_was_cleaned_away_is_made_again(here: Config) -> None:
    desk.run_on_host(here, f"rm -r {here.work}")
    assert desk.run_on_host(here, "echo here") == "here"


def test_a_command_that_takes_too_long_ends_with_its_children(here: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "TIMEOUT", 1.0)
    with pytest.raises(BuildError, match=r"still running after 1 s, and ended: sleep"):
        desk.run_on_host(here, "sleep 60 & echo $! > child; wait")
    child = int((desk.desk(here) / "child").read_text())
    end = time.monotonic() + 10
    while _runs(child):
        assert time.monotonic() < end, "the child lives on"
        time.sleep(0.1)
