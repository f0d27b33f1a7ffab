"""What a command that compares has found out: which are equal, which are not, and which could not be tried."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..building.schedule import BudgetError
from ..errors import BuildError, DifferenceError, MereError
from ..proving.compared import Compared
from ..storage.tree import FULL

#: What stands in the way of a comparison; anything else is a mistake of ours, and seen as such.
TROUBLE = (MereError, OSError)

_KEPT = "what recipes/proofs.toml says of them is left as it was"


@dataclass
class Sweep:
    """The comparisons of one command; each is told of on standard error when it ends, and bad ones again at the end.

    Attributes
    ----------
    how : str
        How the second builds are made, such as ``elsewhere``.
    equal : list of str
        The ids of what was compared and is equal.
    different : dict of str to str
        Where the others differ, by id.
    untried : dict of str to tuple
        Why there is no answer, in words and as the error, by id.
    """

    how: str
    equal: list[str] = field(default_factory=list)
    different: dict[str, str] = field(default_factory=dict)
    untried: dict[str, tuple[str, Exception]] = field(default_factory=dict)

    def settle(self, id: str, compare: Callable[[], Compared], note: str = "") -> Compared | None:
        """What `compare` returns, told of with a `note`; None if an error kept it from coming to its end."""
        try:
            result = compare()
        except TROUBLE as error:
            self.untried[id] = self._reason(error), error
            _say(f"{id} {self.untried[id][0]}".partition("\n")[0])
            return None
        if result.different:
            self.different[id] = str(result.error(f"{id} is not equal {self.how}"))
        else:
            self.equal.append(id)
        _say(f"{'not equal' if result.different else 'equal'}  {id}{note}")
        return result

    def complain(self) -> None:
        """Raise an error, unless all is equal.

        Raises
        ------
        DifferenceError
            One is not equal. The message tells of those that could not be tried, too.
        BudgetError
            None differs, and nothing but time is lacking for the others.
        MereError
            None differs, and some could not be tried.
        """
        if not self.different and not self.untried:
            return
        total = len(self.equal) + len(self.different) + len(self.untried)
        lines = [*self.different.values(), *(f"{id} {reason}" for id, (reason, _) in self.untried.items())]
        if self.different:
            lines.append(f"{len(self.different)} of {total} recipes are not equal {self.how}")
        if self.untried:
            lines.append(f"{len(self.untried)} of {total} could not be tried; {_KEPT}")
        kind = DifferenceError if self.different else _kind(error for _, error in self.untried.values())
        raise kind("\n\n".join(lines))

    def _reason(self, error: Exception) -> str:
        if isinstance(error, BuildError) and error.hint != FULL:
            # That the first build did succeed makes this no difference of bytes.
            return f"could not be tried: it could not be built {self.how}: {error}"
        return f"could not be tried: {error}"


@contextmanager
def trying(what: str) -> Iterator[None]:
    """For what has to be done before anything can be compared: an error of the block says that `what` was not tried.

    A difference passes, and so does Ctrl-C.
    """
    try:
        yield
    except DifferenceError:
        raise
    except TROUBLE as error:
        raise _kind([error])(f"{what} could not be tried: {error}") from error


def _kind(untried: Iterable[Exception]) -> type[MereError]:
    return BudgetError if all(isinstance(error, BudgetError) for error in untried) else MereError


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
