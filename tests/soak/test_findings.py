"""What the soak has found and nobody has fixed yet; a test that passes moves to the tests of its module."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from .world import CHECKOUT

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


@pytest.mark.xfail(reason="Jobserver makes its directory outside of disk_trouble()", strict=True)
def test_a_disk_without_room_for_the_pool_of_jobs_is_said_to_be_full() -> None:
    if shutil.which("unshare") is None:
        pytest.skip("no unshare on this host")
    # A file system with room for a single name.
    script = 'mount -t tmpfs -o nr_inodes=2 none /mnt && mkdir /mnt/jobs && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", _FULL]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    if "mount:" in done.stderr:
        pytest.skip(f"no file system of our own: {done.stderr}")
    assert "the disk is full" in done.stderr
