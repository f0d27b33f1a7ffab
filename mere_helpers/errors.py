"""Errors a reader can act on: what went wrong, what to do, where the log is."""

from __future__ import annotations

from pathlib import Path

from .text import printable


class MereError(Exception):
    """Something mere cannot go on with.

    The first line of the message names what went wrong, more lines may list details; the hint says what to do about it,
    as a command where there is one; the log has the whole story.
    """

    def __init__(self, message: str, *, hint: str = "", log: Path | str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint, self.log = message, hint, log

    def __str__(self) -> str:
        hint = f"\nhint: {self.hint}" if self.hint else ""
        log = "" if self.log is None else f"\nlog:  {self.log}"
        return printable(f"{self.message}{hint}{log}")

    def _render_traceback_(self) -> list[str]:
        # IPython asks for this: below the lines of our own code, the one that says what to do would be out of sight.
        return f"{type(self).__name__}: {self}".splitlines()


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


class PackageError(MereError):
    """A file is not a package, or one that cannot be trusted."""


class StoppedError(MereError):
    """Something was stopped before its end, because the run was."""


class CommandError(MereError):
    """A command that a cell runs has failed, or took too long."""


class RepositoryError(MereError):
    """The package repository is incomplete, unsigned or altered."""
