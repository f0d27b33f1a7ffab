"""The book cannot be faked: one other byte in one recipe, and the chapters that show what comes of it are red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mere_helpers.building.schedule import found
from mere_helpers.config import Config, load_config
from mere_helpers.reading import places
from mere_helpers.recipes.plan import Plan
from mere_helpers.storage.store import Store

pytestmark = [pytest.mark.containers, pytest.mark.slow]

CONFIG = load_config()

#: Nothing is built with it in round 1, and it is built in seconds.
RECIPE = "packages/automake"

#: A chapter that shows the sum of its package, and one that has nothing to do with it.
SHOWN, OTHER = "09-core-packages", "04-musl-and-its-sysroot"

_LEFT = shutil.ignore_patterns(".git", ".venv", "_build", ".*_cache", "__pycache__")


@pytest.fixture
def changed() -> Iterator[Config]:
    """A copy of the checkout with one byte changed, and what it adds to the store taken out again in the end."""
    graph = Plan.from_recipes(CONFIG)
    before = found(CONFIG, graph.order(), plan=graph)
    if missing := [id for id in graph.order() if id.startswith("packages/") and id not in before]:
        pytest.skip(f"{len(missing)} packages are not built yet: make bootstrap")
    # Not in pytest's own folders: those are closed to the root of containers.
    base = Path(tempfile.mkdtemp(prefix="mere-test-", dir="/tmp"))
    base.chmod(0o755)
    copy = base / "checkout"
    shutil.copytree(CONFIG.checkout, copy, ignore=_LEFT, symlinks=True)
    recipe = copy / f"recipes/{RECIPE}/PKGBUILD"
    text = recipe.read_bytes()
    # The last letter of its description: whatever is built from now on is the same program.
    end = text.index(b"'", text.index(b"pkgdesc='") + 9)
    recipe.write_bytes(text[: end - 1] + b"z" + text[end:])
    config = replace(CONFIG, checkout=copy)
    yield config
    store = Store(CONFIG)
    for id, entry in found(config, [RECIPE], plan=Plan.from_recipes(config)).items():
        if id not in before or entry.key != before[id].key:
            store.remove(entry)
    store.remember(before[RECIPE])
    shutil.rmtree(base)


def _run(config: Config, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(config.checkout), "MERE_CHECKOUT": str(config.checkout)}
    command = (sys.executable, "-m", *command)
    return subprocess.run(command, cwd=config.checkout, env=environment, capture_output=True, text=True)


def test_one_byte_of_a_recipe_turns_its_chapter_red_and_no_other(changed: Config) -> None:
    file = changed.recipes / RECIPE / "PKGBUILD"
    affected = [path.stem for path in places.affected(changed, Plan.from_recipes(changed), file)]
    assert SHOWN in affected and OTHER not in affected

    # Built, so that the chapters compare; a chapter whose builds are missing is only skipped.
    built = _run(changed, "mere_helpers", "build", RECIPE)
    assert built.returncode == 0, built.stderr[-2000:]
    nbval = ("pytest", "--nbval", "-q", "-p", "no:cacheprovider")
    red = _run(changed, *nbval, f"notebooks/{SHOWN}.ipynb")
    assert red.returncode == 1, red.stdout[-2000:]
    assert 'build("packages")' in red.stdout
    green = _run(changed, *nbval, f"notebooks/{OTHER}.ipynb")
    assert green.returncode == 0, green.stdout[-2000:]
