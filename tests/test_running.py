"""A program that is followed: its output is limited, it leaves room on the disk, and the reason of its end is told."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from mere_helpers.containers.running import Ended, follow

from .rooms import CHECKOUT

MIB = 1 << 20


def _follow(folder: Path, script: str, **options: Any) -> Ended:
    # As in a container, what is killed is a child of the program that is followed.
    command = ["sh", "-c", 'sh -c "$1" & wait $!', "sh", script]
    with open(folder / "log", "wb", buffering=0) as log:
        return follow(command, log, cwd=folder, environment=os.environ, **options)


def test_who_ends_by_himself_has_no_reason(tmp_path: Path) -> None:
    ended = _follow(tmp_path, "echo fine; exit 3", timeout=60, disk=tmp_path, reserve=0)
    assert (ended.code, ended.reason, ended.tail) == (3, "", b"fine\n")


def test_who_closes_his_output_is_followed_to_his_end(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo said; exec > /dev/null 2>&1; sleep 0.5; exit 4"]
    with open(tmp_path / "log", "wb", buffering=0) as log:
        ended = follow(command, log, cwd=tmp_path, environment=os.environ)
    assert (ended.code, ended.tail) == (4, b"said\n")


def test_too_much_output_ends_it(tmp_path: Path) -> None:
    ended = _follow(tmp_path, "yes", log_limit=MIB)
    assert ended.code and ended.reason == "it printed more than 1.0 MiB"
    assert MIB < (tmp_path / "log").stat().st_size < 5 * MIB


def test_output_that_never_pauses_keeps_nobody_from_looking_at_the_clock(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to("/dev/null")
    ended = _follow(tmp_path, "yes", log_limit=1 << 60, timeout=0.5)
    assert ended.reason == "still running after 0.5 s"


def test_a_pulse_can_end_it(tmp_path: Path) -> None:
    seen = []

    def pulse(pid: int) -> str:
        seen.append(Path(f"/proc/{pid}").exists())
        return "enough" if len(seen) == 3 else ""

    assert _follow(tmp_path, "sleep 60", pulse=pulse).reason == "enough"
    assert seen == [True, True, True]


def test_a_pulse_also_sees_what_has_ended(tmp_path: Path) -> None:
    ended = _follow(tmp_path, "true", pulse=lambda pid: f"{Path(f'/proc/{pid}').exists()}")
    assert (ended.code, ended.reason) == (0, "True")


def test_stop_is_a_reason(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    ended = _follow(tmp_path, "sleep 60", stop=stop)
    assert ended.code and ended.reason == "stopped"


def test_who_fills_the_disk_is_ended_before_it_is_full(tmp_path: Path) -> None:
    script = f"""
import os, shutil
from pathlib import Path
from mere_helpers.containers.running import follow
disk = Path({str(tmp_path)!r})
fill = "for i in 1 2 3 4 5 6 7 8; do head -c 1048576 /dev/zero > $i; sleep 0.4; done"
with open(os.devnull, "wb", buffering=0) as log:
    ended = follow(
        ["sh", "-c", 'sh -c "$1" & wait $!', "sh", fill], log, cwd=disk, environment=os.environ,
        disk=disk, reserve=4 << 20,
    )
print(ended.reason)
print(shutil.disk_usage(disk).free > 1 << 20)
"""
    inside = 'mount -t tmpfs -o size=8m tmpfs "$1" && exec "$2" -c "$3"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "--", "sh", "-c", inside, "sh"]
    if subprocess.run([*command[:5], "true"], capture_output=True).returncode:
        pytest.skip("this host lets us make no user namespaces")
    done = subprocess.run(
        [*command, str(tmp_path), sys.executable, script], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.stderr == ""
    said = f"the disk is nearly full: less than 4.0 MiB are free at {tmp_path}"
    assert done.stdout.splitlines() == [said, "True"]
