"""The variables and functions of a bash recipe, as bash itself understands them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ..config import TARGET, clean_environment
from ..errors import HostError, RecipeError

_READER = Path(__file__).with_name("fields.bash")
_LIMIT_S = 30


def read_fields(path: Path) -> dict[str, tuple[str, ...]]:
    """Let bash read a recipe, in a clean environment and in the recipe's folder, and tell what it found.

    Parameters
    ----------
    path : Path
        A PKGBUILD or the file of a step.

    Returns
    -------
    dict of str to tuple of str
        The values of each variable that the recipe sets; the names of its functions under ``functions``; and for
        each package NAME what its function makes of the fields: ``pkgdesc of NAME``, ``license of NAME``,
        ``depends of NAME``, and the ``extra files of NAME`` (install script, changelog).

    Raises
    ------
    RecipeError
        bash stops with an error, or does not come to an end.
    HostError
        There is no bash.
    """
    command = ["bash", "--noprofile", "--norc", "-eu", str(_READER), path.name]
    environment = clean_environment(CARCH=TARGET.partition("-")[0], CHOST=TARGET)
    try:
        done = subprocess.run(
            command, cwd=path.parent, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_S
        )
    except FileNotFoundError:
        raise HostError("there is no bash", hint="install bash with your system's package manager") from None
    except subprocess.TimeoutExpired:
        raise RecipeError(
            f"bash needs more than {_LIMIT_S} s to read {path}", hint="work belongs into the recipe's functions"
        ) from None
    records = iter(done.stdout.decode(errors="replace").split("\0")[:-1])
    fields = {name: tuple(next(records) for _ in range(int(next(records)))) for name in records}
    # A recipe that says `exit` ends the reader, too, without an error.
    if done.returncode or "functions" not in fields:
        reason = "\n".join(f"  {line}" for line in done.stderr.decode(errors="replace").splitlines()[-5:])
        raise RecipeError(f"bash cannot read {path}\n{reason}".rstrip(), hint="correct the recipe")
    return fields
