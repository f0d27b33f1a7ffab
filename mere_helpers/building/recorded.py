"""What the run cost that the book tells of: measured once from beginning to end, and committed with the book.

Every number and every picture of costs comes from this record, so that they are the same for all readers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from ..config import Config
from ..errors import BuildError
from ..files import read_record, write_record
from ..planning.plan import Plan
from .scheduler import found

_FILE = "book/run.json"

#: The build that Linux From Scratch takes for its unit of time: the first binutils.
UNIT = "cross/binutils"


@dataclass(frozen=True)
class Cost:
    """What one build cost: seconds since the first one began, seconds of processor time, and the most memory it held at
    once, in bytes."""

    started: float
    ended: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True)
class RecordedRun:
    """A run from an empty store: the number of the machine's cores, and what each build cost, by id."""

    cores: int
    builds: Mapping[str, Cost]

    @property
    def wall_s(self) -> float:
        """Seconds from the first build's beginning to the last one's end."""
        return max(cost.ended for cost in self.builds.values())

    @property
    def unit_s(self) -> float:
        """Seconds of processor time of one Standard Build Unit."""
        return self.builds[UNIT].cpu_s

    def cpu_s(self, ids: Sequence[str]) -> float:
        """Seconds of processor time of these builds."""
        return sum(self.builds[id].cpu_s for id in ids)


def recorded_run(config: Config) -> RecordedRun:
    """Read the record. RecipeError: it cannot be read."""

    def parse(text: str) -> RecordedRun:
        data = json.loads(text)
        return RecordedRun(data["cores"], {id: Cost(**cost) for id, cost in data["builds"].items()})

    return read_record(config.checkout / _FILE, parse)


def record_run(config: Config) -> RecordedRun:
    """Write down what the builds in the store cost, made in one run. BuildError: not all were built on this machine."""
    graph = Plan.from_recipes(config)
    entries = found(config, graph.order(), plan=graph)
    missing = [id for id in graph.order() if id not in entries or "started" not in entries[id].measures]
    if missing:
        raise BuildError(f"not all is built: {', '.join(missing)}", hint="make bootstrap")
    start = min(entry.measures["started"] for entry in entries.values())
    builds = {
        id: Cost(
            round(entry.measures["started"] - start, 1),
            round(entry.measures["ended"] - start, 1),
            round(entry.measures["cpu_s"], 1),
            int(entry.measures["peak_bytes"]),
        )
        for id, entry in entries.items()
    }
    run = RecordedRun(config.jobs, builds)
    lines = ",\n".join(f"  {json.dumps(id)}: {json.dumps(asdict(cost))}" for id, cost in builds.items())
    write_record(config.checkout / _FILE, f'{{"cores": {run.cores}, "builds": {{\n{lines}\n}}}}\n')
    return run
