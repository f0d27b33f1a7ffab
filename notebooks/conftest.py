"""nbval over the chapters: one whose artifacts are not in the store is not checked, and that is said aloud.

Where all is built, as ``MERE_COMPLETE=1`` says, such a chapter is a failure.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from mere_helpers.config import load_config
from mere_helpers.errors import MereError
from mere_helpers.press.book import missing
from mere_helpers.session import Session

_CHECKOUT = Path(__file__).parent.parent

_CELLS = pytest.StashKey[list[pytest.Item]]()
_REASONS = pytest.StashKey[dict[Path, str]]()


def _reasons(chapters: set[Path]) -> dict[Path, str]:
    """Why chapters cannot be checked, for those that cannot."""
    now = Session(load_config())
    reasons = {}
    for path in chapters:
        if absent := missing(now, path):
            more = f" and {len(absent) - 4} more" if absent[4:] else ""
            reasons[path] = f"not in the store: {', '.join(absent[:4])}{more}"
    return reasons


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # The kernels inherit these: where the library is, and that nobody looks at widgets.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_CHECKOUT), os.environ.get("PYTHONPATH"))))
    os.environ["MERE_HEADLESS"] = "1"
    os.environ["NO_COLOR"] = "1"
    cells = [item for item in items if item.path.suffix == ".ipynb"]
    config.stash[_CELLS], config.stash[_REASONS] = cells, {}
    try:
        config.stash[_REASONS] = _reasons({cell.path for cell in cells})
    except MereError as error:
        # A wrong setting or a broken recipe is no reason to skip anything.
        raise pytest.UsageError(f"{type(error).__name__}: {error}") from None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    # Before nbval starts a kernel for the chapter.
    if reason := item.config.stash[_REASONS].get(item.path):
        reason = f"{item.path.stem}: {reason}"
        if os.environ.get("MERE_COMPLETE") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    cells = config.stash.get(_CELLS, [])
    ran = {report.nodeid for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)}
    compared = Counter(cell.options["check"] for cell in cells if cell.nodeid in ran)
    left = Counter(cell.path for cell in cells if cell.nodeid not in ran)
    terminalreporter.section("cells of the book")
    terminalreporter.line(f"{compared[True]} cells checked, {left.total()} cells NOT checked")
    if compared[False]:
        terminalreporter.line(f"{compared[False]} more cells were only executed, their outputs not compared")
    for path, count in sorted(left.items()):
        reason = config.stash[_REASONS].get(path, "not run to their end")
        terminalreporter.line(f"  {path.stem}: {count} cells not checked, {reason}")
