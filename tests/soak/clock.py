"""A clock that jumps while programs look at it: a small library that answers in the place of the C library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """The time of day as some programs see it.

    The machine's own clock is everybody's and stays as it is. What a run starts with a clean environment, its builds
    among them, sees the true time, as do file systems.

    Parameters
    ----------
    folder : Path
        Made; holds the library and the file that says how far the clock is off.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._file = folder / "offset"
        self._library = folder / "clock.so"
        self.jump(0)
        command: list[str | Path] = ["gcc", "-O1", "-shared", "-fPIC", "-o", self._library, _SOURCE, "-ldl"]
        subprocess.run(command, check=True)
        script = "import time; print(time.time())"
        self.jump(1e9)
        later = float(self._ask(script))
        self.jump(0)
        if later - float(self._ask(script)) < 9e8:
            raise RuntimeError("programs of this host do not see the clock that we hand them")

    @property
    def environment(self) -> dict[str, str]:
        """What makes a program see this clock."""
        return {"LD_PRELOAD": str(self._library), "SOAK_CLOCK": str(self._file)}

    def jump(self, seconds: float) -> None:
        """Set the clock: so many seconds from the true time."""
        data = int(seconds * 1e9).to_bytes(8, sys.byteorder, signed=True)
        if not self._file.exists():
            self._file.write_bytes(data)
        # In place and at once: programs look at this very page.
        with open(self._file, "r+b", buffering=0) as file:
            file.write(data)

    def _ask(self, script: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script], env=self.environment, capture_output=True, text=True, check=True
        )
        return done.stdout
