"""Files of the checkout that record sums: TOML tables of hexadecimal sha256 by file name."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping

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
    """Write the tables below a comment, in one go."""
    path = config.checkout / file
    aside = path.with_suffix(".new")
    aside.write_text(head + "".join(_table(name, sums) for name, sums in tables.items()))
    aside.replace(path)


def _table(name: str, sums: Mapping[str, str]) -> str:
    # A TOML string is written like one of JSON; only simple names can do without quotes.
    title = name if name.isidentifier() else json.dumps(name)
    return "".join([f"\n[{title}]\n", *(f"{json.dumps(file)} = {json.dumps(sums[file])}\n" for file in sorted(sums))])
