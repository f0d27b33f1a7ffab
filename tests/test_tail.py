"""The end of a log, however long the log is."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from mere_helpers.files import MOST, last_beginning, last_lines


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.mark.parametrize(
    ("text", "lines"),
    [("", []), ("one", ["one"]), ("one\n", ["one"]), ("one\ntwo\nthree\nfour\n", ["two", "three", "four"])],
)
def test_the_last_lines_of_a_short_log(log: Path, text: str, lines: list[str]) -> None:
    log.write_text(text)
    assert last_lines(log, 3) == lines


def test_a_long_log_is_not_read_from_its_beginning(log: Path) -> None:
    with log.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(0, 2)
        file.write(b"\nlast but one\nlast\n")
    assert last_lines(log, 2) == ["last but one", "last"]


def test_a_line_that_began_before_what_is_read_is_left_out(log: Path) -> None:
    log.write_text("x" * MOST + "\nlast\n")
    assert last_lines(log, 20) == ["last"]


def test_of_one_endless_line_the_end_is_shown_in_little_memory(log: Path) -> None:
    with log.open("wb") as file:
        for _ in range(32):
            file.write(b"x" * (1 << 20))
    tracemalloc.start()
    (line,) = last_lines(log, 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(line) == MOST and peak < 8 * MOST


def test_what_is_not_text_is_replaced(log: Path) -> None:
    log.write_bytes(b"caf\xff\n")
    assert last_lines(log, 1) == ["caf\N{REPLACEMENT CHARACTER}"]


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        ("", ""),
        ("no phase\n", ""),
        ("==> build\n", "build"),
        ("==> unpack\n==> build\nmake ==> x\n", "build"),
        ("x\n==> package", "package"),
    ],
)
def test_the_last_phase_of_a_log(log: Path, text: str, phase: str) -> None:
    log.write_text(text)
    assert last_beginning(log, "==> ") == phase


@pytest.mark.parametrize("distance", [0, 1, MOST - 6, MOST - 5, MOST - 4, MOST - 3, MOST - 2, MOST - 1, MOST, 3 * MOST])
def test_the_last_phase_is_found_wherever_it_is(log: Path, distance: int) -> None:
    for before in ("", "before\n", "==> unpack\n" + "y" * 2 * MOST + "\n"):
        log.write_text(f"{before}==> build\n" + "x" * distance)
        assert last_beginning(log, "==> ") == "build"
