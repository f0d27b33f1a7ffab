"""The shared pool of job tokens."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
from pathlib import Path

import pytest

from mere_helpers.building.jobserver import Jobserver, remove_stale
from mere_helpers.building.schedule import found
from mere_helpers.config import load_config

_MAKEFILE = """\
all: 1 2 3 4
%:
\t@echo begin >> log; sleep 0.2; echo end >> log
"""


def _make() -> str | None:
    """A make that understands fifos: the one that the first step builds, or else the host's."""
    config = load_config()
    ours = found(config, ["cross/make"]).get("cross/make")
    make = str(ours.tree / "mere/bin/make") if ours else shutil.which("make")
    if make:
        said = subprocess.run([make, "--version"], capture_output=True, text=True).stdout
        if said.startswith("GNU Make") and tuple(map(int, said.split()[2].split(".")[:2])) >= (4, 4):
            return make
    return None


def test_tokens_are_counted_and_put_back(tmp_path: Path) -> None:
    with Jobserver(tmp_path / "jobs", 3) as jobserver:
        assert jobserver.free() == 3
        with open(jobserver.path, "rb", buffering=0) as fifo:
            assert fifo.read(2) == b"++"
        assert jobserver.free() == 1
        jobserver.refill()
        assert jobserver.free() == 3
        with open(jobserver.path, "wb", buffering=0) as fifo:
            fifo.write(b"+++")
        jobserver.refill()
        assert jobserver.free() == 3
    assert not list((tmp_path / "jobs").iterdir())


def test_no_tokens_is_fine(tmp_path: Path) -> None:
    with Jobserver(tmp_path, 0) as jobserver:
        assert jobserver.free() == 0
        assert jobserver.makeflags().startswith("-j1 ")


def test_everybody_may_use_it(tmp_path: Path) -> None:
    with Jobserver(tmp_path, 1) as jobserver:
        assert jobserver.path.stat().st_mode & 0o777 == 0o666
        assert jobserver.path.parent.stat().st_mode & 0o777 == 0o755
        assert jobserver.makeflags("/js/fifo") == "-j2 --jobserver-auth=fifo:/js/fifo"


def test_copy_for_another_process_only_knows_the_path(tmp_path: Path) -> None:
    with Jobserver(tmp_path, 1) as jobserver:
        copy = pickle.loads(pickle.dumps(jobserver))
        copy.close()
        assert copy.makeflags() == jobserver.makeflags()
        assert jobserver.free() == 1


def test_stale_fifos_go_and_open_ones_stay(tmp_path: Path) -> None:
    (tmp_path / "jobs-old").mkdir()
    os.mkfifo(tmp_path / "jobs-old" / "fifo")
    with Jobserver(tmp_path, 1) as jobserver:
        remove_stale(tmp_path)
        assert list(tmp_path.iterdir()) == [jobserver.path.parent]
        assert jobserver.free() == 1


@pytest.mark.skipif(_make() is None, reason="cross/make is not built yet, and the host's make is older than 4.4")
def test_two_makes_share_the_pool(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(_MAKEFILE)
    with Jobserver(tmp_path / "jobs", 1) as jobserver:
        environment = {"PATH": os.environ["PATH"], "MAKEFLAGS": jobserver.makeflags()}
        makes = [
            subprocess.Popen(
                [str(_make())], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            for _ in range(2)
        ]
        assert [make.communicate()[0] for make in makes] == [b"", b""]
        assert jobserver.free() == 1
    running, most = 0, 0
    for line in (tmp_path / "log").read_text().split():
        running += 1 if line == "begin" else -1
        most = max(most, running)
    assert most == 3
