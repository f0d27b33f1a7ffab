"""busybox in place of GNU programs, tried where it hurt: gcc's option tables must not depend on whose awk made them."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from mere_helpers.building.scheduler import found
from mere_helpers.config import load_config
from mere_helpers.fetching.cache import source_path
from mere_helpers.planning.plan import Plan
from mere_helpers.planning.recipe import load_recipe

CONFIG = load_config()


@pytest.fixture(scope="module")
def busybox() -> Path:
    """The busybox of the temporary tools, which has the same sources and patch as the package."""
    entries = found(CONFIG, ["temptools/busybox"], plan=Plan.from_recipes(CONFIG))
    if "temptools/busybox" not in entries:
        pytest.skip("temptools/busybox is not built yet: python -m mere_helpers build temptools/busybox")
    return entries["temptools/busybox"].tree / "mere/bin/busybox"


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The part of gcc's sources from which its tables of options are made."""
    (source,) = load_recipe(CONFIG, "packages/gcc").sources
    archive = source_path(CONFIG, source)
    if not archive.is_file():
        pytest.skip("gcc's sources are not in the cache: python -m mere_helpers fetch gcc")
    folder = tmp_path_factory.mktemp("gcc")
    with tarfile.open(archive) as outer:
        inner = next(member for member in outer if member.name.endswith("-dfsg.tar.xz"))
        packed = outer.extractfile(inner)
        assert packed is not None
        with tarfile.open(fileobj=packed, mode="r|xz") as files:
            for member in files:
                if member.name.endswith((".opt", ".awk")) and "/gcc/" in member.name:
                    content = files.extractfile(member)
                    assert content is not None
                    # Debian 12's own Python, 3.11.2, has no filters for `extract`.
                    target = folder / member.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content.read())
    return next(folder.glob("gcc-*/gcc"))


def _tables(awk: list[str], gcc: Path) -> str:
    """What gcc's makefile does to make options.cc, for C and C++ on our target."""
    files = ["lang.opt", "c-family/c.opt", "common.opt", "params.opt", "analyzer/analyzer.opt", "config/fused-madd.opt"]
    files += ["config/i386/i386.opt", "config/linux.opt", "config/gnu-user.opt", "config/linux-android.opt"]
    present = [str(gcc / name) for name in files if (gcc / name).is_file()]
    gathered = subprocess.run([*awk, "-f", gcc / "opt-gather.awk", *present], capture_output=True, check=True).stdout
    scripts = [word for name in ("opt-functions", "opt-read", "optc-gen") for word in ("-f", gcc / f"{name}.awk")]
    made = subprocess.run(
        [*awk, *scripts, "-v", "header_name=config.h"], input=gathered, capture_output=True, check=True
    )
    return made.stdout.decode()


@pytest.mark.slow
def test_option_tables_of_gcc_are_those_of_another_awk(busybox: Path, options: Path) -> None:
    other = next((awk for awk in ("gawk", "mawk", "original-awk") if shutil.which(awk)), None)
    if other is None:
        pytest.skip("no awk on this host but busybox")
    ours = _tables([str(busybox), "awk"], options)
    assert "C++" in ours and len(ours) > 500_000
    assert ours == _tables([other], options)


def test_awk_keeps_a_backslash_that_means_nothing(busybox: Path) -> None:
    script = r'{ gsub("\\+", "\\+"); print }'
    done = subprocess.run([busybox, "awk", script], input="C++\n", capture_output=True, text=True, check=True)
    assert done.stdout == "C\\+\\+\n"
