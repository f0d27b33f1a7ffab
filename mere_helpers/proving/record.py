"""What was proved about published packages by builds that take hours, and so are no part of each run of the book."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..config import Config
from .sums import read_sums, write_sums

_FILE = "recipes/proofs.toml"

_HEAD = """\
# Packages that came out the same when they were built in another way, by their sha256. The commands write this file:
# `python -m mere_helpers confirm`, `vary`, `chain`. It remembers the bytes that were compared; where a recipe has
# changed since then, the book says that the proof is about an older package.
"""


def recorded_proofs(config: Config) -> dict[str, dict[str, str]]:
    """What ``recipes/proofs.toml`` says: sha256 by the name of the proof and of the package file.

    Raises
    ------
    RecipeError
        It cannot be read.
    """
    return read_sums(config, _FILE)


def record_proof(config: Config, name: str, packages: Mapping[str, str], refuted: Collection[str] = ()) -> None:
    """Add the sums of these package files to what a proof has shown, or replace them.

    Parameters
    ----------
    config : Config
    name : str
        Of the proof.
    packages : mapping of str to str
        sha256 by file name.
    refuted : collection of str, optional
        Files that did not come out the same; what was recorded about them before is dropped.

    Raises
    ------
    RecipeError
        The record cannot be read or written; the file is as it was.
    """
    tables = recorded_proofs(config)
    before = tables.get(name, {})
    after = {file: sha256 for file, sha256 in {**before, **packages}.items() if file not in refuted}
    # Where nothing was found out, nobody should have to ask why the file has changed.
    if after != before:
        write_sums(config, _FILE, _HEAD, tables | {name: after})
