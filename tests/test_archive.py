"""The reader of packages: a program of its own, whose end is never more than a PackageError."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mere_helpers.errors import PackageError
from mere_helpers.store.archive import DIRECTORY, FILE, SYMLINK, Member, inventory, read_archive

from .conftest import sha256
from .rooms import CHECKOUT, write_package

FILES = {"bin/": "", "bin/hello": "hello", "bin/hi -> hello": ""}


def test_the_inventory_says_all_about_each_member(tmp_path: Path) -> None:
    found = inventory(write_package(tmp_path, "hello", FILES))
    hello = Member("bin/hello", FILE, 0o644, 5, "", 0, 0, "", "", 0, {}, sha256("hello"))
    assert list(found) == [".PKGINFO", "bin", "bin/hello", "bin/hi"]
    assert found["bin/hello"] == hello
    assert found["bin"] == replace(hello, name="bin", type=DIRECTORY, mode=0o755, size=0, sha256="")
    assert found["bin/hi"] == replace(hello, name="bin/hi", type=SYMLINK, size=0, link="hello", sha256="")


def test_many_threads_read_at_once(tmp_path: Path) -> None:
    file = write_package(tmp_path, "hello", FILES)
    with ThreadPoolExecutor(8) as threads:
        assert len({str(found) for found in threads.map(inventory, [file] * 16)}) == 1


def test_a_host_without_zstd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_package(tmp_path, "hello", FILES)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackageError, match="this host has no zstd"):
        inventory(file)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="cannot read gone: No such file"):
        inventory(tmp_path / "gone")


def test_a_text_is_found_wherever_it_is(tmp_path: Path) -> None:
    files = {"lib/x": "x" * ((1 << 20) - 3) + "/store/x", "lib/y -> /mere/x": "", "lib/z": "store"}
    found = read_archive(write_package(tmp_path, "hello", files), ["/store/", "/mere/"]).members
    assert {name: member.mentions for name, member in found.items() if member.mentions} == {
        "lib/x": ("/store/",),
        "lib/y": ("/mere/",),
    }


def test_a_reader_that_is_killed_is_a_build_error(tmp_path: Path) -> None:
    file = write_package(tmp_path, "hello", {"lib/x": "hello" * 20_000_000})
    script = f"""
from pathlib import Path
from mere_helpers.errors import PackageError
from mere_helpers.store.archive import inventory
try:
    inventory(Path({str(file)!r}))
except PackageError as error:
    print(error)
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                if b"archive_reader" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.01)
        assert process.stdout is not None
        assert "hello-1-1-x86_64.pkg.tar.zst is not a package: reading it ended with status -9" in process.stdout.read()


def test_hostile_files_cost_the_process_that_asks_nothing() -> None:
    script = """
import resource, tempfile
from pathlib import Path
from mere_helpers.building.comparison import payload
from mere_helpers.building.gate import problems
from mere_helpers.building.package_file import build_info, package_contents, package_info
from mere_helpers.errors import PackageError
from tests.attacks.archives import archives
large = [data for what, data in archives() if any(word in what for word in ("GiB", "MiB", "100,001", "40 MB"))]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
file = Path(tempfile.mkdtemp()) / "x"
for data in large:
    file.write_bytes(data)
    for read in (payload, lambda file: problems(file, []), package_info, build_info, package_contents):
        try:
            read(file)
        except PackageError:
            pass
file.unlink()
file.parent.rmdir()
print(len(large), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    said = subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    files, kib = map(int, said.stdout.split())
    assert files >= 8 and kib < 64 << 10
