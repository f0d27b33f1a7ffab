"""Locks between threads and processes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mere_helpers.errors import StoppedError
from mere_helpers.locks import Locks

_HOLD = """
import sys, threading, time
from pathlib import Path
from mere_helpers.locks import Locks
with Locks(Path(sys.argv[1]), threading.Event()).hold("a"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_second_holder_waits(tmp_path: Path) -> None:
    locks = Locks(tmp_path, threading.Event())
    inside: list[int] = []

    def enter() -> None:
        with locks.hold("a"):
            inside.append(1)
            assert len(inside) == 1
            time.sleep(0.05)
            inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == []


def test_holder_may_enter_again_and_others_may_not(tmp_path: Path) -> None:
    locks = Locks(tmp_path, threading.Event())
    with locks.hold("a"):
        with locks.hold("a"), locks.hold("b"):
            pass
        with locks.try_hold("a") as ours:
            assert not ours
    with locks.try_hold("a") as ours:
        assert ours


def test_waiting_can_be_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    with Locks(tmp_path, threading.Event()).hold("a"):
        stop.set()
        with pytest.raises(StoppedError, match="busy with a"), Locks(tmp_path, stop).hold("a"):
            pass


def test_killed_process_frees_its_lock(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline() == b"held\n"
        locks = Locks(tmp_path, threading.Event())
        with locks.try_hold("a") as ours:
            assert not ours
        other.kill()
        other.wait()
        with locks.hold("a"):
            pass
