"""A layer and the power that fails just after it was made: the one instant that a whole soak may miss."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mere_helpers.building.layers import package_layer
from mere_helpers.config import Config

from ..rooms import write_package
from .disk import MIB, MortalDisk
from .world import CHECKOUT

pytestmark = pytest.mark.containers

_FILES = {f"file-{number}": f"{number}\n" * 1000 for number in range(20)}


def test_a_layer_is_whole_or_not_there_when_the_power_fails_after_it_was_made(tmp_path: Path) -> None:
    if os.getuid():
        pytest.skip("only root can mount a disk")
    for program in ("pacman", "zstd", "lxc-usernsexec"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on this host")
    # With mounts of its own, which go when it ends, however it ends.
    unshare = ["unshare", "--mount", "--propagation", "private", "--"]
    command = [*unshare, sys.executable, "-m", "tests.soak.test_power", str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "whole\n"


def _installer(folder: Path) -> list[Path]:
    """A root in which the host's pacman fills layers."""
    (folder / "mere/bin").mkdir(parents=True)
    (folder / "usr").symlink_to(".")
    (folder / "mere/bin/pacman").write_text('#!/bin/sh\nexec /bin/pacman "$@"\n')
    (folder / "mere/bin/pacman").chmod(0o755)
    return [folder, Path("/usr")]


def _cut(base: Path) -> str:
    """Make a layer, let its name reach the disk, fail the power; what is left."""
    # The root of containers has to pass, and pytest's directories are closed.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", "/mnt"], check=True)
    disk = MortalDisk(base / "copy.img", Path("/mnt/disk"), 64 * MIB)
    package = write_package(disk.folder, "toy", dict(_FILES))
    config = Config(checkout=CHECKOUT, store=disk.folder / "store", sources=disk.folder / "sources")
    layer = package_layer(config, package, _installer(disk.folder / "installer"))
    # What any other build does all the time: it waits for a file of its own, and with that for the names of all.
    with open(disk.folder / "other", "w") as other:
        os.fsync(other.fileno())
    disk.remember()
    disk.restart()
    if not layer.is_dir():
        return "not there"
    wrong = [
        name for name, text in _FILES.items() if not (layer / name).is_file() or (layer / name).read_text() != text
    ]
    return f"{len(wrong)} of {len(_FILES)} files are not what they were" if wrong else "whole"


if __name__ == "__main__":
    print(_cut(Path(sys.argv[1])))
