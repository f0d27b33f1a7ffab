"""What was tried and how it ended, as a table of figures and as data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mere_helpers.press.table import Table


@dataclass
class Trial:
    """One fault and what came after it.

    Attributes
    ----------
    kind, detail : str
        What was done to the run, and how exactly.
    damage, running : list of str
        What in the store was not whole after the fault or after the next run; what still ran, or was still mounted.
    resumed : str
        What was wrong with the next run or its checksums; empty if it ended in those of the reference.
    unclear : str
        The last line of a run that ended in a traceback.
    leftovers : list of str
        What even the next run did not clean up.
    seconds : float
        That all of it took.
    """

    kind: str
    detail: str
    damage: list[str] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    resumed: str = ""
    unclear: str = ""
    leftovers: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether nothing was lost; what is left behind costs room, and no result."""
        return not (self.damage or self.running or self.resumed)

    def complaints(self) -> list[str]:
        """What is wrong, a line for each."""
        lines = [f"not whole: {line}" for line in self.damage[:4]]
        lines += [f"... and {len(self.damage) - 4} more"] if len(self.damage) > 4 else []
        lines += [f"still there: {line}" for line in self.running]
        return lines + ([f"next run: {self.resumed}"] if self.resumed else [])


@dataclass
class Figures:
    """All trials of a soak.

    Attributes
    ----------
    trials : list of Trial
        In their order.
    skipped : dict of str to str
        Kinds that could not be tried here, and why.
    """

    trials: list[Trial] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether no trial lost anything."""
        return all(trial.good for trial in self.trials)

    def table(self) -> Table:
        """A row for each kind of fault."""
        rows = []
        for kind in dict.fromkeys(trial.kind for trial in self.trials):
            some = [trial for trial in self.trials if trial.kind == kind]
            rows.append(
                (
                    kind,
                    str(len(some)),
                    str(sum(not trial.damage for trial in some)),
                    str(sum(not trial.running for trial in some)),
                    str(sum(not trial.resumed for trial in some)),
                    str(sum(not trial.leftovers for trial in some)),
                    f"{sum(trial.seconds for trial in some) / len(some):.1f} s",
                )
            )
        rows += [(kind, "skipped", "", "", "", "", "") for kind in self.skipped]
        heads = ("fault", "tried", "store whole", "nothing runs on", "same checksums", "all cleaned up", "each took")
        return Table(heads, tuple(rows), note=self._note())

    def _note(self) -> str:
        notes = []
        for kind in dict.fromkeys(trial.kind for trial in self.trials):
            details = Counter(trial.detail for trial in self.trials if trial.kind == kind)
            notes.append(f"{kind}: {', '.join(f'{count} {what}' for what, count in sorted(details.items()))}")
        if unclear := sum(bool(trial.unclear) for trial in self.trials):
            notes.append(f"ended in a traceback, and not in an error that says what to do: {unclear}")
        left = Counter(kind for trial in self.trials for kind in trial.leftovers)
        notes += [f"left behind: {', '.join(f'{kind} ({count})' for kind, count in left.items())}"] if left else []
        notes += [f"{kind} skipped: {why}" for kind, why in self.skipped.items()]
        return "\n".join(notes)

    def data(self) -> dict:
        """The same for programs: counts by kind, and what went wrong."""
        kinds = dict.fromkeys(trial.kind for trial in self.trials)
        return {
            "tried": {kind: sum(trial.kind == kind for trial in self.trials) for kind in kinds},
            "wrong": {
                kind: [
                    f"{trial.detail}: {line}"
                    for trial in self.trials
                    if trial.kind == kind
                    for line in trial.complaints()
                ]
                for kind in kinds
            },
            "skipped": self.skipped,
        }
