"""nbval over the chapters: one whose artifacts are not in the store is not checked, and that is said aloud."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from mere_helpers.reading.book import missing
from mere_helpers.config import load_config
from mere_helpers.errors import MereError
from mere_helpers.recipes.plan import Plan

_CHECKOUT = Path(__file__).parent.parent


def _cells(items: list[pytest.Item]) -> dict[Path, list[pytest.Item]]:
    chapters: dict[Path, list[pytest.Item]] = {}
    for item in items:
        if item.path.suffix == ".ipynb":
            chapters.setdefault(item.path, []).append(item)
    return chapters


def _reason(path: Path) -> str:
    """Why a chapter cannot be checked; empty if it can."""
    try:
        config = load_config()
        absent = missing(config, Plan.from_recipes(config), path)
    except MereError as error:
        return str(error).splitlines()[0]
    if not absent:
        return ""
    return f"not in the store: {', '.join(absent[:4])}" + (f" and {len(absent) - 4} more" if absent[4:] else "")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # The kernels inherit these: where the library is, and that nobody looks at widgets.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_CHECKOUT), os.environ.get("PYTHONPATH"))))
    os.environ["MERE_HEADLESS"] = "1"
    os.environ["NO_COLOR"] = "1"
    config.stash[_REASONS] = {}
    for path, cells in _cells(items).items():
        if reason := _reason(path):
            config.stash[_REASONS][path] = reason
            for cell in cells:
                cell.add_marker(pytest.mark.skip(reason=f"{path.stem}: {reason}"))


_REASONS = pytest.StashKey[dict[Path, str]]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reports = [
        report
        for outcome in ("passed", "failed", "skipped")
        for report in terminalreporter.getreports(outcome)
        if report.nodeid.partition("::")[0].endswith(".ipynb")
    ]
    checked = sum(not report.skipped for report in reports)
    skipped = Counter(Path(report.nodeid.partition("::")[0]).stem for report in reports if report.skipped)
    terminalreporter.section("cells of the book")
    terminalreporter.line(f"{checked} cells checked, {skipped.total()} cells NOT checked")
    for path, reason in sorted(config.stash.get(_REASONS, {}).items()):
        terminalreporter.line(f"  {path.stem}: {skipped[path.stem]} cells not checked, {reason}")
