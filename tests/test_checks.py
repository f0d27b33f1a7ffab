"""What checks the book, checked: nothing is skipped or left uncompared without a word, or where there is no reason."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from mere_helpers.config import load_config
from mere_helpers.press import book
from mere_helpers.session import PUBLISHED, Session

CHECKOUT = load_config().checkout


def _check(
    room: Path, *cells: nbformat.NotebookNode, builds: tuple[str, ...] = (), **settings: str
) -> subprocess.CompletedProcess[str]:
    """Check a chapter of these cells, which uses these builds, as `make test` does, with an empty store."""
    folder = room / "notebooks"
    folder.mkdir()
    shutil.copy(CHECKOUT / "notebooks/conftest.py", folder)
    nbformat.write(
        new_notebook(cells=list(cells), metadata={"mere": {"builds": list(builds)}}), folder / "01-one.ipynb"
    )
    environment = os.environ | {"MERE_STORE": str(room / "store"), "PYTHONPATH": str(CHECKOUT)} | settings
    command = [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", "--rootdir", room, folder]
    return subprocess.run(command, cwd=room, env=environment, capture_output=True, text=True)


@pytest.fixture(autouse=True)
def _said_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MERE_COMPLETE", raising=False)


def test_a_chapter_whose_builds_are_missing_is_skipped_aloud(tmp_path: Path) -> None:
    done = _check(tmp_path, new_code_cell("1", id="01-02"), new_code_cell("1"), builds=("packages/base-layout",))
    assert done.returncode == 0, done.stdout
    assert "0 cells checked, 2 cells NOT checked" in done.stdout
    assert "01-one: 2 cells not checked, not in the store: " in done.stdout


def test_it_is_a_failure_when_all_is_built(tmp_path: Path) -> None:
    cells = new_code_cell("1", id="01-02"), new_code_cell("1")
    done = _check(tmp_path, *cells, builds=("packages/base-layout",), MERE_COMPLETE="1")
    assert done.returncode == 1, done.stdout
    assert "0 cells checked, 2 cells NOT checked" in done.stdout


def test_an_error_is_no_reason_to_skip(tmp_path: Path) -> None:
    done = _check(tmp_path, new_code_cell("1"), MERE_OFFLINE="yes")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert "MERE_OFFLINE is 'yes'" in done.stderr


def test_what_is_only_executed_does_not_count_as_checked(tmp_path: Path) -> None:
    one = new_output("execute_result", data={"text/plain": "1"}, execution_count=1)
    ignored = new_code_cell("2", execution_count=2, outputs=[one], metadata={"tags": ["nbval-ignore-output"]})
    done = _check(tmp_path, new_code_cell("1", execution_count=1, outputs=[one]), ignored)
    assert done.returncode == 0, done.stdout
    assert "1 cells checked, 0 cells NOT checked\n1 more cells were only executed" in done.stdout


@pytest.mark.parametrize(("built", "complete", "status"), [(0, "1", 0), (75, "", 0), (124, "", 0), (1, "", 1)])
def test_the_ci_machine_wants_every_chapter_when_all_is_built(
    tmp_path: Path, built: int, complete: str, status: int
) -> None:
    for name, text in {
        ".ci/run": (CHECKOUT / ".ci/run").read_text(),
        ".venv/bin/python": f"#!/bin/sh\nexit {built}\n",
        "bin/make": '#!/bin/sh\necho "make $1, complete: $MERE_COMPLETE."\n',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    done = subprocess.run([tmp_path / ".ci/run"], env=environment, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert done.stdout.splitlines() == ["make setup-tests, complete: .", f"make test, complete: {complete}."]


def test_all_that_the_chapters_use_is_built_by_default() -> None:
    """Else the CI machine would wait for what nobody builds."""
    now = Session(load_config())
    used = {id for path in book.chapters(now.config) for id in now.plan.closure(book.uses(now, path))}
    assert used <= set(now.plan.closure(now.resolve([PUBLISHED])))
