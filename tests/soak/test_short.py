"""The short form of the soak: each kind of fault at least once; ``python -m tests.soak`` is the long one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from mere_helpers.config import Config
from mere_helpers.errors import ContainerError
from mere_helpers.sandbox.idmap import as_mapped_root

from .world import CHECKOUT

pytestmark = [pytest.mark.containers, pytest.mark.slow]

#: What the toy world is made with.
_PROGRAMS = ("makepkg", "pacman", "bsdtar", "zstd", "busybox", "gcc", "lxc-execute")


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What a short soak found."""
    absent = [program for program in _PROGRAMS if shutil.which(program) is None]
    if absent:
        pytest.skip(f"no {', '.join(absent)} on this host")
    folder = tmp_path_factory.mktemp("soak")
    try:
        as_mapped_root(Config(checkout=CHECKOUT, store=folder / "store", sources=folder / "sources"), ["true"])
    except ContainerError as error:
        pytest.skip(f"this host lets {os.getuid()} make no containers: {error}")
    file = folder / "figures.json"
    command = [sys.executable, "-m", "tests.soak", "--short", "--json", str(file)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=1800)
    # With the seed, for whoever wants to see it again.
    print(done.stdout, done.stderr)
    assert file.exists(), done.stdout + done.stderr
    return json.loads(file.read_text())


@pytest.mark.parametrize("kind", ["kill", "two runs at once", "clock jump", "full disk", "power cut"])
def test_nothing_is_lost_and_the_next_run_ends_in_the_same_checksums(figures: dict, kind: str) -> None:
    _check(figures, kind)


def _check(figures: dict, kind: str) -> None:
    if kind in figures["skipped"]:
        pytest.skip(f"{kind}: {figures['skipped'][kind]}")
    assert figures["tried"][kind] > 0
    assert figures["wrong"][kind] == []


def test_what_was_skipped_is_what_an_ordinary_user_may_not_do(figures: dict) -> None:
    assert os.getuid() or not figures["skipped"]
