"""The log of a build that runs: its phase, its lines, and the words about its time."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mere_helpers.watching.buildlog import KEPT, WIDEST, BuildLog, against, clock, matching, phase_of

MAKEPKG = """\
==> Making package: gcc 14.2.0-1 (Mon Nov 23 22:47:18 2026)
==> Retrieving sources...
  -> Found gcc.tar.gz
==> Validating source files with sha256sums...
==> Extracting sources...
==> Starting prepare()...
==> Starting build()...
make: Entering directory
==> Entering fakeroot environment...
==> Starting package_gcc-libs()...
==> Tidying install...
==> Checking for packaging issues...
==> Creating package "gcc-libs"...
"""


def test_phases_of_makepkg() -> None:
    lines = MAKEPKG.splitlines()
    phases = [phase_of(lines[: number + 1]) for number in range(len(lines))]
    assert list(dict.fromkeys(phases)) == [
        *("setting up", "fetching", "verifying", "unpacking", "prepare", "build", "package_gcc-libs"),
        *("tidying", "packing"),
    ]


@pytest.mark.parametrize(
    ("line", "phase"),
    [("==> unpack gcc.tar.gz", "unpacking"), ("==> build", "build"), ("==> building is fun", "x"), (" ==> build", "x")],
)
def test_phases_of_a_step(line: str, phase: str) -> None:
    assert phase_of([line], "x") == phase


def test_a_log_is_followed_while_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = BuildLog(path, time.time() - 1)
    log.read()
    assert (log.phase, list(log.lines)) == ("setting up", [])
    path.write_text("==> prepare\nhalf a")
    log.read()
    assert (log.phase, list(log.lines)) == ("prepare", ["==> prepare"])
    with path.open("a") as file:
        file.write(" line\n==> build\n")
    log.read()
    assert (log.phase, list(log.lines)) == ("build", ["==> prepare", "half a line", "==> build"])
    path.unlink()
    log.read()
    assert log.phase == "build"


def test_a_log_that_is_begun_again_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("one\ntwo\n")
    log = BuildLog(path, time.time() - 1)
    log.read()
    path.rename(tmp_path / "old")
    path.write_text("three\n")
    log.read()
    assert list(log.lines) == ["three"]


def test_the_log_of_an_earlier_build_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("==> package\n")
    os.utime(path, (1, 1))
    log = BuildLog(path, time.time() - 1)
    log.read()
    assert (log.phase, list(log.lines)) == ("setting up", [])


def test_only_the_end_of_a_long_log_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"{number}\n" for number in range(KEPT + 10)))
    log = BuildLog(path, time.time() - 1)
    log.read()
    assert (len(log.lines), log.lines[0]) == (KEPT, "10")


def test_lines_are_found_whatever_their_capitals() -> None:
    assert matching(["Error 1", "fine", "an error"], "eRRor") == ["Error 1", "an error"]
    assert matching(["a", "b"], "") == ["a", "b"]


def test_durations() -> None:
    assert (clock(9.4), clock(59.9), clock(130)) == ("9 s", "1 min 00 s", "2 min 10 s")
    assert (against(5, None), against(5, 61)) == ("5 s", "5 s of about 1 min 01 s")


def test_an_endless_line_is_kept_up_to_a_width_and_phases_after_it_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = BuildLog(path, time.time() - 1)
    with path.open("a") as file:
        for _ in range(64):
            file.write("x" * (1 << 18))
            file.flush()
            log.read()
            # Nothing that a look keeps, and so the next one copies, grows with the line.
            assert sum(len(value) for value in vars(log).values() if isinstance(value, str)) <= WIDEST + 20
        file.write("\n==> build\n")
    log.read()
    assert (log.phase, [len(line) for line in log.lines]) == ("build", [WIDEST, len("==> build")])


def test_a_log_that_outgrows_the_panel_is_skipped_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(0, os.SEEK_END)
        file.write(b"\n==> package\nlast\n")
    log = BuildLog(path, time.time() - 1)
    log.read()
    assert (log.phase, log.lines[-1]) == ("package", "last")


def test_a_character_that_comes_in_two_looks_stays_whole_and_control_characters_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = BuildLog(path, time.time() - 1)
    data = "größe \x1b[2J\n".encode()
    for end in range(1, len(data) + 1):
        path.open("ab").write(data[end - 1 : end])
        log.read()
    assert list(log.lines) == ["größe ␛[2J"]
