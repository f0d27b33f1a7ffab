"""The book cannot be faked: one other byte in one recipe, and the chapters that show what comes of it are red."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mere_helpers.config import Config, load_config
from mere_helpers.press.recipe_index import read_chapters
from mere_helpers.session import Session
from mere_helpers.store.store import Store

pytestmark = [pytest.mark.containers, pytest.mark.slow]

CONFIG = load_config()

#: Nothing is built with it, and it is built in seconds. In both rounds, so that the chapters compare: one whose builds
#: are missing is only skipped.
BUILDS = ("packages/automake", "rebuild/automake")

#: The chapters that show the sums of its packages, with the cells that do.
SHOWN = {"09-core-packages": 'build("packages")', "10-rebuild": 'build("rebuild")'}

#: Two that have nothing to do with it, one on steps and one on packages; each takes ten seconds.
OTHERS = ("04-musl-and-its-sysroot", "07-pacman-and-base-layout")

_LEFT = shutil.ignore_patterns(".git", ".venv", "_build", ".*_cache", "__pycache__")


@pytest.fixture
def changed() -> Iterator[Config]:
    """A copy of the checkout with one byte changed, and what it adds to the store taken out again in the end."""
    order = Session(CONFIG).plan.order()
    before = Session(CONFIG).present(order)
    if missing := [id for id in order if id not in before]:
        pytest.skip(f"{len(missing)} packages are not built yet: make bootstrap")
    # Not in pytest's own folders: those are closed to the root of containers.
    base = Path(tempfile.mkdtemp(prefix="mere-test-", dir="/tmp"))
    base.chmod(0o755)
    copy = base / "checkout"
    shutil.copytree(CONFIG.checkout, copy, ignore=_LEFT, symlinks=True)
    recipe = copy / f"recipes/{BUILDS[0]}/PKGBUILD"
    text = recipe.read_bytes()
    # The last letter of its description: whatever is built from now on is the same program.
    end = text.index(b"'", text.index(b"pkgdesc='") + 9)
    recipe.write_bytes(text[: end - 1] + b"z" + text[end:])
    config = replace(CONFIG, checkout=copy)
    yield config
    store = Store(CONFIG)
    for id, entry in Session(config).present(BUILDS).items():
        if entry.key != before[id].key:
            store.remove(entry)
    for id in BUILDS:
        store.remember(before[id])
    shutil.rmtree(base)


def _run(config: Config, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(config.checkout), "MERE_CHECKOUT": str(config.checkout)}
    command = (sys.executable, "-m", *command)
    return subprocess.run(command, cwd=config.checkout, env=environment, capture_output=True, text=True)


def test_one_byte_of_a_recipe_turns_its_chapters_red_and_no_others(changed: Config) -> None:
    affected = [chapter.path.stem for chapter in read_chapters(Session(changed)) if chapter.needed & {*BUILDS}]
    assert SHOWN.keys() <= set(affected) and not set(OTHERS) & set(affected)

    built = _run(changed, "mere_helpers", "build", *BUILDS)
    assert built.returncode == 0, built.stderr[-2000:]
    chapters = [f"notebooks/{name}.ipynb" for name in (*OTHERS, *SHOWN)]
    said = _run(changed, "pytest", "--nbval", "-q", "-rf", "-p", "no:cacheprovider", *chapters).stdout
    assert set(re.findall(r"^FAILED notebooks/(.+)\.ipynb::", said, re.MULTILINE)) == SHOWN.keys(), said[-2000:]
    assert " 0 cells NOT checked" in said and all(cell in said for cell in SHOWN.values())
