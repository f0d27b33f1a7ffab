"""A busy machine: processes that write, hash and compile for as long as they are let."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_WORK = """
import hashlib, os, subprocess, sys
folder = sys.argv[1]
while True:
    with open(f"{folder}/data", "wb") as file:
        for _ in range(8):
            file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())
    with open(f"{folder}/data", "rb") as file:
        hashlib.file_digest(file, "sha256")
    with open(f"{folder}/some.c", "w") as file:
        file.writelines(f"int f{number}(int x) {{ return x * {number} + 1; }}\\n" for number in range(500))
    subprocess.run(["gcc", "-O2", "-c", "some.c"], cwd=folder, check=True)
"""


@contextmanager
def load(folder: Path, count: int) -> Iterator[list[int]]:
    """Keep `count` processes busy inside the block; yields their PIDs."""
    started = []
    try:
        for number in range(count):
            place = folder / str(number)
            place.mkdir(parents=True)
            command: list[str | Path] = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-c", _WORK, place]
            started.append(subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL))
        yield [process.pid for process in started]
    finally:
        for process in started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
