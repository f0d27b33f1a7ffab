"""The words about busybox in place of the usual packages; no build is needed for them here."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from mere_helpers import commands, userland, uses, whose
from mere_helpers.config import Config, load_config
from mere_helpers.errors import MereError
from mere_helpers.press import userland as words

from .rooms import CHECKOUT

HAS = frozenset({"sed", "tar", "find", "xargs", "grep", "install", "logger", "vi"})


@pytest.fixture(autouse=True)
def _busybox(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busybox that is nowhere built."""
    monkeypatch.setattr(words, "_busybox", lambda config: words._Busybox("1-1", 2 << 20, 1 << 20, HAS))


def test_userland_counts() -> None:
    table = userland()
    rows = {row[0]: row for row in table.rows}
    assert len(rows) == 14
    assert rows["findutils"][2:5] == ("2", "4", "2"), "find, xargs; locate and updatedb are missing"
    assert sum(int(row[4]) for row in table.rows) == len(HAS), "logger is in two packages, vi in none"
    assert f"{len(HAS) - 1} of them in busybox" in table.note
    assert "busybox 1-1: 8 names, one program of 1.0 MiB, 2.0 MiB installed" in table.note


def test_commands_are_sorted_into_two_lists() -> None:
    assert str(commands("findutils")) == "findutils\n  has   find xargs\n  lacks locate updatedb"
    assert str(commands("sed")) == "sed\n  has   sed"
    everything = str(commands())
    assert max(map(len, everything.splitlines())) <= 110
    assert all(f"\n{name}\n" in f"\n{everything}\n" for name in ("bzip2", "util-linux"))


def test_a_package_that_is_not_compared() -> None:
    with pytest.raises(MereError, match="perl is none of the packages") as caught:
        commands("perl")
    assert "util-linux" in caught.value.hint


def test_whose_finds_the_package() -> None:
    assert whose("sed  find\nxargs perl").rows == (("findutils", "find xargs"), ("sed", "sed"), ("another", "perl"))
    assert whose("logger").rows == (("inetutils", "logger"), ("util-linux", "logger"))


def test_uses_are_read_from_the_functions_of_recipes(
    config: Config, add_package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = words.recorded(load_config())
    monkeypatch.setattr(words, "recorded", lambda config: packages)
    monkeypatch.setattr(words, "load_config", lambda: config)
    add_package(
        "tool",
        more='groups=(\n    sed)\n\nbuild() {\n    # tar xf this\n    echo "$(grep x y)" | sed s/a/b/ && sed -n p\n'
        "    find . -exec sed p {} +\n    cd tar\n    find . | xargs install -t x\n}\n",
    )
    rows = {row[0]: row[1:] for row in uses().rows}
    assert rows["sed"] == ("sed", "2", "tool", 'echo "$(grep x y)" | sed s/a/b/ && sed -n p')
    assert rows["grep"][:3] == ("grep", "1", "tool")
    assert rows["findutils"][:2] == ("find", "2")
    assert rows["coreutils"][:2] == ("install", "1")
    assert rows["tar"] == ("", "", "", ""), "neither a comment nor an argument is a call"
    assert "the recipes call none" in uses().note
    add_package("other", more="build() {\n    csplit x\n}\n")
    assert "the recipes call csplit" in uses().note


def test_the_summary_in_the_chapter_has_all_packages_and_stands_in_for_what_they_lack() -> None:
    (path,) = (CHECKOUT / "notebooks").glob("13-*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    rows = re.findall(
        r"^\| ([\w-]+) \| (.+) \| (.+) \|$", prose.partition("| package | what it did here")[2], re.MULTILINE
    )
    assert [package for package, _, _ in rows] == list(words.SUBJECTS)
    printed = "\n".join(
        output.data["text/plain"] for cell in cells if "commands(" in cell.source for output in cell.get("outputs", ())
    )
    lacks = dict(re.findall(r"^([\w-]+)\n(?:  has .+\n(?: {8}.+\n)*)?  lacks (.+(?:\n {8}.+)*)", printed, re.MULTILINE))
    stood_in_for = [(package, name) for package, _, what in rows for name in re.findall(r"for `(\w+)`", what)]
    assert len(stood_in_for) > 6
    for package, name in stood_in_for:
        assert name in lacks[package].split(), package
