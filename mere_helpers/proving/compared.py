"""What a finished comparison of two builds has shown. One that cannot be finished is an error, and shows nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..building.comparison import NOT_IN_PAYLOAD, differences
from ..config import Config
from ..errors import DifferenceError, MereError, StoreError
from ..storage.store import Entry
from ..storage.tree import FULL, is_full


@dataclass(frozen=True)
class Compared:
    """Package files of two builds, compared in every byte.

    Attributes
    ----------
    equal : mapping of str to str
        The sha256 of those that are the same, by file name.
    different : tuple of str
        The names of all others.
    lines : tuple of str
        Where these differ.
    hint : str
        What may be the reason.
    log : Path or None
        Of the second build.
    """

    equal: Mapping[str, str]
    different: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    hint: str = field(default="", compare=False)
    log: Path | None = field(default=None, compare=False)

    def error(self, what: str) -> DifferenceError:
        """The difference as an error that begins with `what`."""
        message = "\n".join([f"{what}: {', '.join(self.different)}", *self.lines])
        return DifferenceError(message, hint=self.hint, log=self.log)


def compare_entries(config: Config, first: Entry, second: Entry) -> Compared:
    """Two builds of the same packages, by their sums, sizes and modes in the store.

    Raises
    ------
    StoreError
        They differ, and as good as no room is left on the disk: what could not be written may be the difference.
    """
    one, other = first.outputs, second.outputs
    equal = {name: output.sha256 for name, output in one.items() if other.get(name) == output}
    different = tuple(sorted((one.keys() | other.keys()) - equal.keys()))
    if not different:
        return Compared(equal)
    refuse_if_full(second.path)
    return Compared(equal, different, where(config, first.tree, second.tree), log=second.log)


def where(config: Config, first: Path, second: Path) -> tuple[str, ...]:
    """Where the packages in two folders differ, of which is known that they do: no error can change that any more."""
    try:
        return tuple(differences(config, first, second)) or (NOT_IN_PAYLOAD,)
    except (MereError, OSError) as error:
        return (f"(where they differ could not be found out: {error})",)


def refuse_if_full(folder: Path) -> None:
    """A build that differs is taken for nothing if the disk ran full: it may lack what could not be written.

    Raises
    ------
    StoreError
        As good as no room is left on the disk of `folder`.
    """
    if is_full(folder):
        raise StoreError("the packages differ, but the disk is full, which may be the only reason", hint=FULL)
