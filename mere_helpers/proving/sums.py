"""Files of the checkout that record sums: TOML tables of hexadecimal sha256 by file name."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from contextlib import suppress

from ..config import Config
from ..errors import RecipeError

#: Table, file name, sha256.
Sums = Mapping[str, Mapping[str, str]]


def read_sums(config: Config, file: str) -> dict[str, dict[str, str]]:
    """The tables of a file of the checkout; none if there is no such file.

    Raises
    ------
    RecipeError
        It cannot be read.
    """
    try:
        tables = tomllib.loads((config.checkout / file).read_text())
        return {name: dict(sums) for name, sums in tables.items()}
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise RecipeError(f"cannot read {file}: {error}", hint=f"git checkout {file}") from None


def write_sums(config: Config, file: str, head: str, tables: Sums) -> None:
    """Write the tables below a comment, in one go.

    Raises
    ------
    RecipeError
        It cannot be written; the file is as it was.
    """
    path = config.checkout / file
    aside = path.with_suffix(".new")
    try:
        with open(aside, "w") as stream:
            stream.write(head + "".join(_table(name, sums) for name, sums in tables.items()))
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise RecipeError(f"cannot write {file}: {error.strerror}", hint=f"see df {path.parent}") from error


def _table(name: str, sums: Mapping[str, str]) -> str:
    # A TOML string is written like one of JSON; only simple names can do without quotes.
    title = name if name.isidentifier() else json.dumps(name)
    return "".join([f"\n[{title}]\n", *(f"{json.dumps(file)} = {json.dumps(sums[file])}\n" for file in sorted(sums))])
