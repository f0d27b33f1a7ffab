"""The pool of job tokens: nobody forges them, nobody keeps them, everybody gets some."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mere_helpers.building.jobserver import Jobserver, Lease
from mere_helpers.building.scheduler import found
from mere_helpers.config import load_config

_MAKEFILE = """\
all: 1 2 3 4
%:
\t@echo begin >> log; sleep 0.2; echo end >> log
"""

#: Like a make with so many jobs: one at a time without a token, each further one with a token that it reads, and
#: returns at the job's end. Prints how many jobs had a token.
_CLIENT = """
import os, select, sys, time
fifo, jobs, log = sys.argv[1], int(sys.argv[2]), os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
reading, writing = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), os.open(fifo, os.O_WRONLY)
running, own, helped = [], True, 0

def start(token):
    os.write(log, b"begin\\n")
    running.append((time.monotonic() + 0.05, token))

while jobs or running:
    while jobs and own:
        own, jobs = False, jobs - 1
        start(b"")
    waiting = select.poll()
    if jobs:
        waiting.register(reading, select.POLLIN)
    if waiting.poll(max(0, min(running)[0] - time.monotonic()) * 1000):
        try:
            start(os.read(reading, 1))
            jobs, helped = jobs - 1, helped + 1
        except BlockingIOError:
            pass
    for job in [job for job in running if job[0] <= time.monotonic()]:
        running.remove(job)
        os.write(log, b"end\\n")
        own = own or not job[1]
        os.write(writing, job[1])
print(helped)
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


def _most(log: Path) -> int:
    """The most jobs that ever ran at once."""
    running, most = 0, 0
    for line in log.read_text().split():
        running += 1 if line == "begin" else -1
        most = max(most, running)
    assert running == 0
    return most


def _client(lease: Lease, jobs: int, log: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _CLIENT, str(lease.path), str(jobs), str(log)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _open(lease: Lease) -> int:
    return os.open(lease.path, os.O_RDWR | os.O_NONBLOCK)


def _unread(fifo: int) -> int:
    return struct.unpack("i", fcntl.ioctl(fifo, termios.FIONREAD, b"\0" * 4))[0]


def _take(fifo: int, tokens: int, seconds: float = 10) -> bytes:
    """As many tokens as there are until the time is up."""
    end = time.monotonic() + seconds
    taken = b""
    while len(taken) < tokens and time.monotonic() < end:
        try:
            taken += os.read(fifo, tokens - len(taken))
        except BlockingIOError:
            time.sleep(0.001)
    return taken


def _wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_tokens_are_counted_and_come_back(tmp_path: Path) -> None:
    with Jobserver(tmp_path / "jobs", 3) as jobserver:
        assert jobserver.free() == 3
        with jobserver.lease() as lease:
            fifo = _open(lease)
            assert _take(fifo, 2) == b"++"
            assert jobserver.free() == 1
            os.write(fifo, b"+")
            assert jobserver.free() == 2
        assert jobserver.free() == 3
    assert not list((tmp_path / "jobs").iterdir())


def test_no_tokens_is_fine(tmp_path: Path) -> None:
    with Jobserver(tmp_path, 0) as jobserver, jobserver.lease() as lease:
        assert jobserver.free() == 0
        assert lease.makeflags().startswith("-j1 ")


def test_everybody_may_use_it(tmp_path: Path) -> None:
    with Jobserver(tmp_path, 1) as jobserver, jobserver.lease() as lease:
        assert lease.path.stat().st_mode & 0o777 == 0o666
        assert list(lease.folder.iterdir()) == [lease.path]
        assert {folder.stat().st_mode & 0o777 for folder in (lease.folder, lease.folder.parent)} == {0o755}
        assert lease.makeflags("/js/fifo") == "-j2 --jobserver-auth=fifo:/js/fifo"


def test_what_killed_runs_left_goes_and_a_run_that_is_alive_stays(tmp_path: Path) -> None:
    script = """
import sys, time
from pathlib import Path
from mere_helpers.building.jobserver import Jobserver
with Jobserver(Path(sys.argv[1]), 1) as jobserver, jobserver.lease() as lease:
    print(lease.path, flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        theirs = Path(other.stdout.readline().strip())
        with Jobserver(tmp_path, 1):
            assert theirs.is_fifo()
        other.kill()
    with Jobserver(tmp_path, 1) as jobserver, jobserver.lease() as lease:
        assert list(tmp_path.iterdir()) == [lease.folder.parent]


def test_builds_share_the_pool_and_all_get_some(tmp_path: Path) -> None:
    with Jobserver(tmp_path / "jobs", 1) as jobserver:
        with jobserver.lease() as one, jobserver.lease() as two, jobserver.lease() as three:
            clients = [_client(lease, 40, tmp_path / "log") for lease in (one, two, three)]
            helped = [int(client.communicate()[0]) for client in clients]
        assert jobserver.free() == 1
    assert all(helped) and _most(tmp_path / "log") <= 4


def test_the_one_that_wants_the_only_token_gets_it_from_those_that_do_not(tmp_path: Path) -> None:
    with Jobserver(tmp_path, 1) as jobserver, jobserver.lease(), jobserver.lease() as busy, jobserver.lease():
        fifo = _open(busy)
        for _ in range(5):
            assert _take(fifo, 1) == b"+"
            assert jobserver.free() == 0
            os.write(fifo, b"+")


def test_forged_tokens_are_seen_by_nobody_else_and_dropped(tmp_path: Path) -> None:
    with Jobserver(tmp_path, 2) as jobserver, jobserver.lease() as bad, jobserver.lease() as good:
        forger = _open(bad)
        for forged in (b"+" * 60, b"x", b"+" * 65536):
            try:
                os.write(forger, forged)
            except BlockingIOError:
                pytest.fail("what was forged before was not dropped")
            # Longer than tokens need to go round.
            assert len(_take(_open(good), 3, 0.3)) <= 2
            assert jobserver.free() <= 2
            _wait_for(lambda: _unread(forger) <= 2)


def test_a_build_that_takes_all_leaves_the_others_their_own_job_until_it_ends(tmp_path: Path) -> None:
    with Jobserver(tmp_path / "jobs", 3) as jobserver, jobserver.lease() as good:
        with jobserver.lease() as bad:
            assert _take(_open(bad), 3) == b"+++"
            client = _client(good, 3, tmp_path / "log")
            assert client.communicate()[0] == "0\n"
        assert jobserver.free() == 3
        client = _client(good, 10, tmp_path / "log")
        assert int(client.communicate()[0]) > 0
    assert _most(tmp_path / "log") <= 4


def test_what_a_killed_build_held_comes_back(tmp_path: Path) -> None:
    with Jobserver(tmp_path / "jobs", 2) as jobserver:
        with jobserver.lease() as lease:
            client = _client(lease, 1000, tmp_path / "log")
            _wait_for(lambda: jobserver.free() == 0)
            client.send_signal(signal.SIGKILL)
            client.communicate()
        assert jobserver.free() == 2


def test_nothing_that_a_build_does_to_its_fifo_holds_up_the_others(tmp_path: Path) -> None:
    def fill(lease: Lease) -> None:
        fifo = _open(lease)
        while not done.is_set():
            try:
                os.write(fifo, b"+" * 4096)
            except BlockingIOError:
                time.sleep(0.001)

    def replace(lease: Lease) -> None:
        lease.path.unlink()
        (lease.folder / "other").mkdir()
        lease.path.symlink_to("/etc/passwd")

    done = threading.Event()
    with Jobserver(tmp_path / "jobs", 1) as jobserver, jobserver.lease() as good:
        for attack in (fill, replace, lambda lease: lease.path.chmod(0), lambda lease: _open(lease)):
            with jobserver.lease() as bad:
                thread = threading.Thread(target=attack, args=[bad])
                thread.start()
                fifo = _open(good)
                assert _take(fifo, 1) == b"+"
                os.write(fifo, b"+")
                done.set()
                thread.join()
            assert not bad.folder.exists()
            assert jobserver.free() == 1
    assert not list((tmp_path / "jobs").iterdir())


@pytest.mark.skipif(_make() is None, reason="cross/make is not built yet, and the host's make is older than 4.4")
def test_two_makes_share_the_pool(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(_MAKEFILE)
    with Jobserver(tmp_path / "jobs", 1) as jobserver, jobserver.lease() as one, jobserver.lease() as two:
        makes = [
            subprocess.Popen(
                [str(_make())],
                cwd=tmp_path,
                env={"PATH": os.environ["PATH"], "MAKEFLAGS": lease.makeflags()},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            for lease in (one, two)
        ]
        assert [make.communicate()[0] for make in makes] == [b"", b""]
        assert jobserver.free() == 1
    assert _most(tmp_path / "log") == 3


_FULL = """
import sys
from pathlib import Path
from mere_helpers.building.jobserver import Jobserver
from mere_helpers.errors import MereError
try:
    Jobserver(Path("/mnt/jobs"), 1)
except MereError as error:
    sys.exit(str(error))
"""


def test_a_disk_without_room_for_the_pool_of_jobs_is_said_to_be_full() -> None:
    if shutil.which("unshare") is None:
        pytest.skip("no unshare on this host")
    # A file system with room for a single name.
    script = 'mount -t tmpfs -o nr_inodes=2 none /mnt && mkdir /mnt/jobs && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", _FULL]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    if "mount:" in done.stderr:
        pytest.skip(f"no file system of our own: {done.stderr}")
    assert "the disk is full" in done.stderr
