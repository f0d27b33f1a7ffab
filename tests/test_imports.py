"""One direction of imports: each folder of the library uses those before it, and none behind it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import mere_helpers

LIBRARY = Path(mere_helpers.__file__).parent
ORDER = (
    "recipes",
    "fetching",
    "storage",
    "containers",
    "machine",
    "building",
    "proving",
    "drawing",
    "watching",
    "reading",
)


def test_every_folder_has_its_place() -> None:
    assert {path.parent.name for path in LIBRARY.glob("*/__init__.py")} == set(ORDER)


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*/*.py")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_nothing_is_imported_from_further_down(path: Path) -> None:
    later = ORDER[ORDER.index(path.parent.name) + 1 :]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 2 and node.module:
            assert node.module.partition(".")[0] not in later
