"""One run of the toy world: started, hit by SIGKILL where it hurts, followed to its end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random

from .processes import Process, descendants, kill
from .world import World

#: Seconds after which a run hangs.
_LIMIT = 600

#: What a kill may hit, and how often if all of it is there.
TARGETS = {
    "container": 3,
    "monitor of a container": 3,
    "step": 9,
    "kernel": 4,
    "papermill": 3,
    "run": 1,
    "group": 2,
    "everything": 2,
    "any process": 3,
}


class Run:
    """A run that has been started; all it prints goes to a file."""

    def __init__(self, world: World, log: Path, *, book: bool, more: Mapping[str, str] | None = None) -> None:
        self.log, self.book = log, book
        with open(log, "wb") as output:
            self._process = subprocess.Popen(
                world.command(book=book),
                env=world.environment | dict(more or {}),
                cwd=world.checkout,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        """Whether its first process has not ended."""
        return self._process.poll() is None

    def sleep(self, seconds: float) -> bool:
        """Let it go on for a while; False if it ends before."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self.running

    def wait(self) -> str:
        """Wait for its end; what went wrong, empty if nothing did."""
        try:
            status = self._process.wait(_LIMIT)
        except subprocess.TimeoutExpired:
            tree = "; ".join(str(process) for process in descendants(root=self.pid))
            self.kill()
            return f"still running after {_LIMIT} s: {tree}"
        if status == 0:
            return ""
        return f"status {status}: " + " | ".join(self.said().strip().splitlines()[-6:])

    def said(self) -> str:
        """All it printed."""
        return self.log.read_text(errors="replace")

    @property
    def unclear(self) -> str:
        """The last line of what it printed, if it ended in a traceback and not in an error that says what to do."""
        said = self.said()
        return said.strip().splitlines()[-1] if "Traceback (most recent call last)" in said else ""

    def kill(self) -> None:
        """Kill its first process, and nothing else."""
        self._process.kill()
        self._process.wait()

    def sleep_into_build(self, seconds: float, without: Collection[int]) -> bool:
        """Let it go on until a step or a container runs, and then for a while; False if it ends before."""
        while self.running and not {"container", "step"} & self._targets(descendants(without=without)).keys():
            time.sleep(0.02)
        return self.sleep(seconds)

    def hit(self, rng: Random, without: Collection[int], targets: Collection[str] = tuple(TARGETS)) -> str:
        """Kill one of these targets, of those that are there now; what was killed, empty if the run has ended."""
        found = self._targets(descendants(without=without))
        there = {name: processes for name, processes in found.items() if name in targets}
        if not self.running or not there:
            return ""
        (target,) = rng.choices(list(there), weights=[TARGETS[name] for name in there])
        if target == "group":
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        elif target == "everything":
            kill(there[target])
        else:
            kill([rng.choice(there[target])])
        return target

    def _targets(self, running: list[Process]) -> dict[str, list[Process]]:
        """The processes that each of `TARGETS` is, where there are some."""
        # A process inside a build is the build's affair: makepkg, for one, does not notice that the gzip which writes a
        # package's listing was killed. The first one of a container or of a step takes all of it with it.
        ours = [process for process in running if process.depth == 0]
        firsts = [process for process in running if process.depth == 1 and process.first]
        runner = [process for process in ours if process.pid == self.pid]
        found = {
            "container": [process for process in firsts if "step.bash" not in process.command],
            "monitor of a container": _starting(ours, "lxc-execute", "lxc-start", "[lxc monitor]"),
            "step": [
                *_starting(ours, "unshare "),
                *(process for process in firsts if "step.bash" in process.command),
            ],
            "kernel": [process for process in ours if "ipykernel" in process.command],
            "papermill" if self.book else "run": runner,
            "group": runner,
            "everything": running,
            "any process": [*ours, *firsts],
        }
        return {name: processes for name, processes in found.items() if processes}


def _starting(processes: list[Process], *words: str) -> list[Process]:
    return [process for process in processes if process.command.startswith(words)]
