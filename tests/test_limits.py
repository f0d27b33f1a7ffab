"""Limits: a build that takes too much of the machine is ended, with the reason, and those beside it go on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import mere_helpers
from mere_helpers.sandbox.limits import Limits, available_bytes, process_bytes

#: Follows builds, each in a thread with limits of its own, and prints how they have ended.
_BUILDS = """
import json, os, sys, threading
from pathlib import Path
from mere_helpers.sandbox.limits import Limits
from mere_helpers.process import follow

here = Path.cwd()
ends = {}

def build(name, text, **options):
    # As in a container, nothing survives that the build has started.
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", sys.executable, "-c", text]
    with open(here / f"{name}.log", "wb", buffering=0) as log, Limits(**options) as limits:
        ended = follow(command, log, cwd=here, environment=os.environ, pulse=limits.sample, timeout=60)
    ends[name] = [ended.code, ended.reason, (here / f"{name}.log").read_text(), limits.peak_bytes]
    (here / f"{name}.ended").touch()

threads = []
for name, (text, options) in BUILDS.items():
    threads.append(threading.Thread(target=build, args=[name, text], kwargs=options))
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(ends))
"""

# None takes more than the machine can bear, should it not be ended.
_HOG = "import time\nkept = []\nwhile len(kept) < 100:\n    kept.append(b'1' * (4 << 20)); time.sleep(0.02)"
_HOGS_CHILDREN = f"import os, time\nfor _ in range(3):\n    os.fork()\n{_HOG}"
_SHARED_HOG = """
import mmap, time
kept = []
while len(kept) < 100:
    kept.append(mmap.mmap(-1, 4 << 20))
    kept[-1].write(b"1" * (4 << 20)); time.sleep(0.02)
"""
_SMALL = "import os, time\nwhile not os.path.exists('hog.ended'):\n    time.sleep(0.05)\nprint('fine')"
_FORKED = """
import os, time
kept = b"1" * (100 << 20)
for _ in range(3):
    os.fork()
time.sleep(1.5)
os.write(1, b"fine\\n")
try:
    while True:
        os.wait()
except ChildProcessError:
    pass
"""

MIB = 1 << 20

#: What a build is told that used most.
_TOLD = r"builds used more than 300\.0 MiB of memory together, and this one most: \d+\.\d MiB"


def _ordinary_user(folder: Path) -> list[str]:
    """How to start Python as somebody else than root."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can become somebody else")
    user = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", "--", "env"]
    for python in (sys.executable, "/usr/bin/python3"):
        new_enough = [*user, python, "-c", "import sys; assert sys.version_info >= (3, 11)"]
        if subprocess.run(new_enough, cwd=folder, capture_output=True).returncode == 0:
            return [*user, python]
    pytest.skip(f"only root can use the Python in {sys.prefix}")


@pytest.fixture(params=["as we are", "as an ordinary user"])
def builds(request: pytest.FixtureRequest) -> Iterator[Callable[..., dict[str, Any]]]:
    """Run builds beside each other, with their text and the options of their limits, and tell how they ended."""
    if subprocess.run(["unshare", "--user", "--map-root-user", "true"], capture_output=True).returncode:
        pytest.skip("this host lets us make no user namespaces")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = [sys.executable]
        if request.param == "as an ordinary user":
            # A copy, because the checkout may be where only root can look; without the words of notebooks, because what
            # they import may be there, too.
            shutil.copytree(Path(mere_helpers.__file__).parent, folder / "mere_helpers")
            (folder / "mere_helpers/__init__.py").write_text("")
            for path in (folder, *folder.rglob("*")):
                os.chown(path, 12345, 12345)
            python = _ordinary_user(folder)
        else:
            (folder / "mere_helpers").symlink_to(Path(mere_helpers.__file__).parent)

        def run(**texts: tuple[str, dict[str, int]]) -> dict[str, Any]:
            command = [*python, "-c", f"BUILDS = {texts!r}\n{_BUILDS}"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            assert done.stderr == ""
            return json.loads(done.stdout)

        yield run


@pytest.mark.parametrize("hog", [_HOG, _HOGS_CHILDREN, _SHARED_HOG], ids=["one", "many", "shared"])
def test_who_uses_most_memory_is_ended_with_the_reason_and_a_small_build_goes_on(
    builds: Callable[..., dict[str, Any]], hog: str
) -> None:
    limit = {"memory": 300 * MIB}
    ends = builds(hog=(hog, limit), small=(_SMALL, limit))
    code, reason, _, peak = ends["hog"]
    assert code != 0 and peak > 200 * MIB
    assert re.fullmatch(_TOLD, reason)
    assert ends["small"][:3] == [0, "", "fine\n"]


def test_builds_are_ended_for_what_they_use_together(builds: Callable[..., dict[str, Any]]) -> None:
    # Neither reaches the limit alone; whenever both together do, one of them is the larger by far.
    text = "import os, time\nkept = b'1' * (SIZE << 20)\nwhile not os.path.exists('hog.ended'):\n    time.sleep(0.05)"
    limit = {"memory": 300 * MIB}
    ends = builds(hog=(text.replace("SIZE", "220"), limit), small=(text.replace("SIZE", "100"), limit))
    assert re.fullmatch(_TOLD, ends["hog"][1])
    assert ends["small"][:2] == [0, ""]


def test_memory_that_processes_share_counts_once(builds: Callable[..., dict[str, Any]]) -> None:
    # Eight processes with 100 MiB that were there before they came to be.
    assert builds(hog=(_FORKED, {"memory": 300 * MIB}))["hog"][:3] == [0, "", "fine\n" * 8]


def test_too_many_processes_end_a_build(builds: Callable[..., dict[str, Any]]) -> None:
    text = "import os, time\nfor _ in range(60):\n    os.fork() or time.sleep(60)\ntime.sleep(60)"
    code, reason, *_ = builds(bomb=(text, {"processes": 100}))["bomb"]
    assert code != 0 and reason == "it ran more than 50 processes at a time"


def test_a_process_that_the_kernel_ended_for_want_of_memory_is_noticed() -> None:
    for base, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = base / f"mere-test-{os.getpid()}"
        with suppress(OSError):
            group.mkdir()
            if (group / limit).exists():
                break
            group.rmdir()
    else:
        pytest.skip("we may make no cgroups")
    try:
        (group / limit).write_text(str(100 * MIB))
        limits = Limits()
        assert not limits.lost_a_process()
        hog = f"open('{group}/cgroup.procs', 'w').write('0'); kept = b'1' * (1 << 30)"
        assert subprocess.run([sys.executable, "-c", hog]).returncode == -signal.SIGKILL
        assert limits.lost_a_process()
    finally:
        group.rmdir()


def test_builds_offer_themselves_when_the_kernel_needs_memory(builds: Callable[..., dict[str, Any]]) -> None:
    assert builds(one=("print(open('/proc/self/oom_score_adj').read())", {}))["one"][2].split() == ["1000"]


def test_memory_of_a_process_is_that_of_all_its_descendants() -> None:
    text = "import os, time; kept = b'1' * (50 << 20); print(os.fork() and '', flush=True); time.sleep(60)"
    script = f'{sys.executable} -c "{text}" & wait'
    command = ["sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout
        assert sorted([process.stdout.readline(), process.stdout.readline()]) == ["\n", "0\n"]
        # The second process shares what the first one has allocated.
        assert 100 * MIB < process_bytes(process.pid) < 200 * MIB
        assert 50 * MIB < process_bytes(process.pid, exactly=True) < 100 * MIB
        os.killpg(process.pid, signal.SIGKILL)
    assert process_bytes(process.pid) == 0


def test_default_is_a_part_of_what_there_is() -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < available_bytes() <= machine
    assert Limits().memory < available_bytes()
