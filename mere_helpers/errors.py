"""Errors a reader can act on: what went wrong, what to do, where the log is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .printable import printable


class MereError(Exception):
    """Something mere cannot go on with.

    Parameters
    ----------
    message : str
        What went wrong; the first line names the thing, more lines may list details.
    hint : str, optional
        What to do about it, as a command where there is one.
    log : Path or str, optional
        Where the whole story is.
    """

    def __init__(self, message: str, *, hint: str = "", log: Path | str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.log = log

    def __str__(self) -> str:
        lines = [self.message]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        if self.log is not None:
            lines.append(f"log:  {self.log}")
        return printable("\n".join(lines))

    def _render_traceback_(self) -> list[str]:
        # IPython asks for this: below the lines of our own code, the one that says what to do would be out of sight.
        return f"{type(self).__name__}: {self}".splitlines()

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions travel between processes by pickle, which would lose the keyword arguments.
        return _rebuild, (type(self), self.message, self.hint, self.log)


def _rebuild(kind: type[MereError], message: str, hint: str, log: Path | str | None) -> MereError:
    return kind(message, hint=hint, log=log)


class HostError(MereError):
    """The host lacks something that a build needs."""


class SourceError(MereError):
    """A source file could not be had, or is not the one that was pinned."""


class RecipeError(MereError):
    """A recipe is missing, incomplete or contradicts itself."""


class StoreError(MereError):
    """The store cannot be read or written, or an entry is damaged."""


class PlanError(MereError):
    """The recipes do not add up to an order in which they can be built."""


class ContainerError(MereError):
    """A container could not be made, entered or taken down."""


class BuildError(MereError):
    """A build ran and failed."""


class DifferenceError(BuildError):
    """A comparison came to its end, and the two sides are not equal. No other error refutes what was proved before.

    It is a BuildError so that whoever asks only whether something could be built need not know of it.
    """


class RepositoryError(MereError):
    """The package repository is incomplete, unsigned or altered."""
