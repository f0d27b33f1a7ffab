"""Files of the checkout that record sums, in TOML: tables of hexadecimal sha256 by file name."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..config import Config
from ..files import read_record, write_record


@dataclass(frozen=True)
class Record:
    """One such file: its name in the checkout, and the comment at its head."""

    file: str
    head: str

    def read(self, config: Config) -> dict[str, dict[str, str]]:
        """The tables; none if there is no such file. RecipeError: it cannot be read."""
        path = config.checkout / self.file
        return read_record(path, _parse) if path.exists() else {}

    def write(self, config: Config, tables: Mapping[str, Mapping[str, str]]) -> None:
        """Write the tables, in one go. RecipeError: it cannot be written, and is as it was."""
        text = self.head
        for name, sums in tables.items():
            # A TOML string is written like one of JSON; only simple names can do without quotes.
            text += f"\n[{name if name.isidentifier() else json.dumps(name)}]\n"
            text += "".join(f"{json.dumps(file)} = {json.dumps(sums[file])}\n" for file in sorted(sums))
        write_record(config.checkout / self.file, text)


_PROOFS = Record(
    "recipes/proofs.toml",
    """\
# Packages that came out the same when they were built in another way, by their sha256. The commands write this file:
# `python -m mere_helpers confirm`, `vary`, `chain`. It remembers the bytes that were compared; where a recipe has
# changed since then, the book says that the proof is about an older package.
""",
)


def recorded_proofs(config: Config) -> dict[str, dict[str, str]]:
    """What was proved by builds that take hours: sha256 by the name of the proof and of the package file."""
    return _PROOFS.read(config)


def record_proof(config: Config, name: str, packages: Mapping[str, str], refuted: Collection[str] = ()) -> None:
    """Add the sums of these package files to what a proof has shown, or replace them; drop files that are refuted."""
    tables = recorded_proofs(config)
    before = tables.get(name, {})
    after = {file: sha256 for file, sha256 in {**before, **packages}.items() if file not in refuted}
    # Where nothing was found out, nobody should have to ask why the file has changed.
    if after != before:
        _PROOFS.write(config, tables | {name: after})


def _parse(text: str) -> dict[str, dict[str, str]]:
    return {name: dict(sums) for name, sums in tomllib.loads(text).items()}
