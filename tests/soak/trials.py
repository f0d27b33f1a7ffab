"""The trials: what is done to a run of the toy world, and what must hold afterwards."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from mere_helpers.sandbox.idmap import as_mapped_root
from mere_helpers.store.store import Store

from .check import builds, damage, digests, layers, leftovers, mounts
from .clock import Clock
from .disk import MIB, Disk, MortalDisk
from .figures import Trial
from .machine import Groups
from .processes import await_end, kill_all
from .runs import TARGETS, Run
from .world import World

#: Seconds that all a run has started, and what removes files in the background, get to end after the run.
_PATIENCE = 60

#: Seconds that a build takes about, on a busy machine: only for choosing an instant.
_PACE = 1.3

#: Seconds by which the clock jumps.
_JUMPS = (-30 * 365 * 86400, -400 * 86400, -3600, -2, 2, 3600, 400 * 86400, 10 * 365 * 86400)


@dataclass
class Soak:
    """The world, what it has to become, and the chance that decides what happens next.

    Attributes
    ----------
    base : Path
        The directory of everything.
    world : World
        With its store on the disk of `base`.
    rng : Random
        Whatever is random comes from here, so that a seed gives the same choices again; not the same instants.
    groups : Groups
        The cgroups of the soak.
    busy : list of int
        PIDs of those who only keep the machine busy.
    most : int
        How many builds a run has to do at most, as a rule.
    targets : collection of str
        What a kill may hit.
    """

    base: Path
    world: World
    rng: Random
    groups: Groups
    busy: list[int]
    most: int = 4
    targets: Collection[str] = tuple(TARGETS)
    reference: dict[str, str] = field(default_factory=dict)
    known_leftovers: set[str] = field(default_factory=set)
    _disks: dict[str, tuple[Disk, World]] = field(default_factory=dict)
    _clock: Clock | None = None

    def build_reference(self) -> float:
        """Build everything undisturbed, and remember the checksums; the result is the seconds it took.

        Raises
        ------
        RuntimeError
            Not even that works.
        """
        began = time.monotonic()
        wrong = self._start(self.world, book=False).wait()
        self.reference = digests(self.world)
        lines = [wrong] if wrong else damage(self.world)
        if len(self.reference) != builds(self.world) or not layers(self.world):
            lines.append("not everything is in the store")
        if lines:
            raise RuntimeError(f"the toy world cannot be built undisturbed: {'; '.join(lines)}")
        return time.monotonic() - began

    def kill(self) -> Trial:
        """A process, or several, are killed with SIGKILL at a random instant."""
        while True:
            expected = self._thin(self.world)
            with self._trial("kill", self.world) as trial:
                run = self._start(self.world, book=self.rng.random() < 0.4)
                self._await_instant(run, expected)
                trial.detail = run.hit(self.rng, self.busy, self.targets)
                ended = run.wait()
                trial.unclear = run.unclear
                if "still running" in ended:
                    trial.running.append(f"after the death of {trial.detail}: {ended}")
            # It may have been too quick for us.
            if trial.detail:
                return trial

    def fill_disk(self) -> Trial:
        """The disk is full from a random instant on, and has room again for the next run."""
        disk, world = self._disk("full disk", Disk, 400 * MIB)
        while True:
            expected = self._thin(world)
            left = self.rng.choice((0, 1, 2, 4, 8, 16, 24)) * MIB
            with self._trial("full disk", world) as trial:
                if self.rng.random() < 0.4:
                    disk.fill(left)
                run = self._start(world, book=self.rng.random() < 0.2)
                if self._await_instant(run, expected):
                    disk.fill(left)
                ended = run.wait()
                self._settle(trial)
                # A full disk must not look like damage, so it stays full while the store is read.
                trial.damage = damage(world)
                disk.empty()
                trial.detail = "said so" if "disk is full" in run.said() else "other words"
                trial.unclear = run.unclear
                if "still running" in ended:
                    trial.running.append(f"on a full disk: {ended}")
            if ended:
                return trial

    def cut_power(self) -> Trial:
        """The power fails at a random instant of a run, or in the seconds after it."""
        disk, world = self._disk("power cut", MortalDisk, 500 * MIB)
        assert isinstance(disk, MortalDisk)
        expected = self._thin(world, all_layers=True)
        with self._trial("power cut", world) as trial:
            run = self._start(world, book=self.rng.random() < 0.2)
            when = self.rng.choice(("after the run", "during the run", "after a layer", "after a layer"))
            if when == "after the run":
                run.wait()
                time.sleep(self.rng.uniform(0, 8))
            elif when == "during the run":
                run.sleep(self.rng.uniform(1, expected))
            else:
                # A container that ends makes the kernel write everything; before that is the time for this.
                while not layers(world) and run.sleep(0.05):
                    pass
                run.sleep(self.rng.uniform(0.2, 3))
            trial.detail = when if run.running else "after the run"
            disk.remember()
            kill_all(self.busy)
            disk.restart()
        return trial

    def run_two(self) -> Trial:
        """Two runs share a store; of some pairs one is killed."""
        expected = self._thin(self.world)
        with self._trial("two runs at once", self.world) as trial:
            first = self._start(self.world, book=self.rng.random() < 0.3)
            time.sleep(self.rng.choice((0, 0, self.rng.uniform(0, expected / 2))))
            second = self._start(self.world, book=self.rng.random() < 0.3, log="second")
            trial.detail = "both live"
            victim, other = self.rng.sample((first, second), 2)
            if self.rng.random() < 0.4 and victim.sleep(self.rng.uniform(0.2, expected)):
                victim.kill()
                trial.detail = "one killed"
            trial.resumed = other.wait()
            if trial.detail == "both live":
                trial.resumed = trial.resumed or victim.wait()
        return trial

    def jump_clock(self) -> Trial:
        """The clock jumps back and forth, by seconds and by years."""
        if self._clock is None:
            self._clock = Clock(self.base / "clock")
        expected = self._thin(self.world)
        with self._trial("clock jump", self.world) as trial:
            run = self._start(self.world, book=self.rng.random() < 0.4, more=self._clock.environment)
            while run.sleep(self.rng.uniform(0.1, expected / 3)):
                self._clock.jump(self.rng.choice(_JUMPS))
            self._clock.jump(0)
            ended = run.wait()
            # Jupyter gives a kernel so many seconds to start, by this very clock.
            trial.detail = "the run gave up" if ended else "the run ended well"
            if not run.book or "still running" in ended:
                trial.resumed = ended
            trial.unclear = run.unclear
        return trial

    def close(self) -> None:
        """End what still runs, and give back the disks."""
        kill_all(self.busy)
        for disk, _ in self._disks.values():
            disk.unmount()
            if isinstance(disk, MortalDisk):
                disk.unmount_below()

    @contextmanager
    def _trial(self, kind: str, world: World) -> Iterator[Trial]:
        """In the block the fault happens; behind it all is checked, the next run is done, and all is checked again."""
        trial = Trial(kind, "")
        began = time.monotonic()
        yield trial
        # Nobody was hit, so there is nothing to check.
        if not trial.detail:
            self._settle(trial)
            return
        self._settle(trial)
        trial.running += [f"mounted: {place}" for place in mounts(world)]
        trial.damage = trial.damage or damage(world)
        wrong = self._start(world, book=self.rng.random() < 0.15).wait()
        self._settle(trial)
        now = digests(world)
        different = [id for id in self.reference if now.get(id) != self.reference[id]]
        if not wrong and different:
            wrong = f"other checksums: {', '.join(different)}"
        trial.resumed = trial.resumed or wrong
        trial.damage += [f"{line} (after the next run)" for line in damage(world) if line not in trial.damage]
        new = set(leftovers(world, self.groups)) - self.known_leftovers
        self.known_leftovers |= new
        trial.leftovers = sorted({name.partition(": ")[0] for name in new})
        trial.seconds = time.monotonic() - began
        if not trial.good:
            self._reset(world)

    def _settle(self, trial: Trial) -> None:
        left = await_end(_PATIENCE, without=self.busy)
        trial.running += map(str, left)
        if left:
            kill_all(self.busy)

    def _await_instant(self, run: Run, expected: float) -> bool:
        """Wait for a random instant of a run; False if it ends before.

        Every other time it is one at which something is being built: on a machine that is busier than we think, most of
        the others come before that.
        """
        if self.rng.random() < 0.5:
            return run.sleep_into_build(self.rng.uniform(0, 1.5), self.busy)
        return run.sleep(self.rng.uniform(0.2, expected))

    def _start(self, world: World, *, book: bool, log: str = "run", more: dict[str, str] | None = None) -> Run:
        return Run(world, self.base / f"{log}.log", book=book, more=more)

    def _thin(self, world: World, *, all_layers: bool = False) -> float:
        """Forget some of what is built, at random, so that a run has something to do; the seconds that it may take."""
        store = Store(world.config)
        entries = list(store.entries())
        if self.rng.random() < 0.03:
            self._remove(world, [world.store / name for name in ("entries", "layers")])
            self._sync(world)
            return len(entries) * _PACE / 2
        chosen = self.rng.sample(entries, min(len(entries), self.rng.randint(1, self.most)))
        # Steps are few and quick; without this they would hardly ever be hit.
        if self.rng.random() < 0.5:
            chosen += [
                entry for entry in entries if entry.id.startswith(("cross/", "temptools/")) and entry not in chosen
            ][:2]
        for entry in chosen:
            store.remove(entry)
        gone = [layer for layer in layers(world) if all_layers or self.rng.random() < 0.4]
        self._remove(world, gone)
        self._sync(world)
        return 1 + len(chosen) * _PACE

    def _remove(self, world: World, paths: list[Path]) -> None:
        if paths:
            as_mapped_root(world.config, ["rm", "-rf", *paths], own=True)

    def _sync(self, world: World) -> None:
        """Let the disk have what we ourselves did: a power cut must not bring half of a layer back."""
        subprocess.run(["sync", "--file-system", world.store], check=True)

    def _reset(self, world: World) -> None:
        """Begin anew, so that one failure is not counted twice."""
        self._remove(world, [world.store])
        self.known_leftovers = {name for name in self.known_leftovers if name.startswith("cgroups: ")}
        self._start(world, book=False).wait()
        await_end(_PATIENCE, without=self.busy)

    def _disk(self, name: str, kind: type[Disk], size: int) -> tuple[Disk, World]:
        """The disk for a kind of trial, with a store on it that has everything; made when it is first asked for."""
        if name not in self._disks:
            folder = self.base / name.replace(" ", "-")
            folder.mkdir()
            disk = kind(folder / "disk.img", folder / "disk", size)
            world = replace(self.world, store=disk.folder / "store")
            self._disks[name] = disk, world
            # Nothing in a store knows where it is.
            subprocess.run(["cp", "-a", self.world.store, world.store], check=True)
        return self._disks[name]
