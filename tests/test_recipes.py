"""The recipes themselves: complete, pinned, explained, and clean shell."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.licenses import canonicalize_license_expression

from mere_helpers.config import load_config
from mere_helpers.planning.plan import Plan
from mere_helpers.planning.recipe import Recipe, load_recipes

CONFIG = load_config()
RECIPES = load_recipes(CONFIG)
PACKAGES = [recipe for recipe in RECIPES.values() if recipe.packages]
STEPS = [recipe for recipe in RECIPES.values() if not recipe.packages]
PATCHES = sorted(CONFIG.recipes.rglob("*.patch"))

#: What the book promises; each line of the issue's list is a package.
PROMISED = [
    "base-layout",
    "linux-headers",
    "musl",
    "zlib",
    "binutils",
    "gmp",
    "mpfr",
    "mpc",
    "gcc",
    "busybox",
    "m4",
    "perl",
    "ncurses",
    "readline",
    "bash",
    "pkgconf",
    "make",
    "patch",
    "file",
    "xz",
    "zstd",
    "libarchive",
    "curl",
    "ca-certificates",
    "muon",
    "pacman",
    "autoconf",
    "automake",
    "libtool",
    "bison",
    "flex",
    "build-essential",
]

#: busybox stands in for these, so none may be built.
REPLACED = [
    "bzip2",
    "coreutils",
    "diffutils",
    "findutils",
    "gawk",
    "grep",
    "gzip",
    "inetutils",
    "iproute2",
    "kbd",
    "sed",
    "sysklogd",
    "tar",
    "util-linux",
]


def _shellcheck(path: Path, *options: str) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck on this host")
    done = subprocess.run(["shellcheck", *options, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def _id(value: Recipe | Path) -> str:
    return value.id if isinstance(value, Recipe) else value.name


def test_all_promised_packages_have_recipes_and_no_replaced_one_has() -> None:
    made = {name for recipe in PACKAGES for name in recipe.packages}
    assert set(PROMISED) <= made
    assert not made & set(REPLACED)


def test_the_plan_holds_together() -> None:
    graph = Plan.from_recipes(CONFIG)
    assert {id for id in graph.order() if graph.reference(id) is None} == set(RECIPES)


@pytest.mark.parametrize("recipe", PACKAGES, ids=_id)
def test_package_is_described(recipe: Recipe) -> None:
    assert re.fullmatch(r"[a-z0-9+.-]+", recipe.name)
    assert re.fullmatch(r"\S+-[1-9][0-9]*", recipe.version)
    assert recipe.url.startswith("https://")
    assert recipe.description and not recipe.description.endswith(".")
    for licence in recipe.licence:
        canonicalize_license_expression(licence)
    assert "build-essential" in recipe.makedepends or recipe.name == "build-essential"


@pytest.mark.parametrize("recipe", PACKAGES, ids=_id)
def test_package_is_clean_shell(recipe: Recipe) -> None:
    # Like the runner of steps, makepkg sets and reads variables, and stops at the first error.
    _shellcheck(recipe.path, "-s", "bash", "-e", "SC2034,SC2154,SC2164")


@pytest.mark.parametrize("recipe", STEPS, ids=_id)
def test_step_is_clean_shell(recipe: Recipe) -> None:
    # SC2211: the folder of a configure script may be named by a pattern, so that a step does not repeat a version.
    _shellcheck(recipe.path, "-s", "bash", "-e", "SC2034,SC2154,SC2164,SC2211")


@pytest.mark.parametrize("path", sorted(CONFIG.recipes.glob("repository/*.sh")), ids=_id)
def test_script_is_clean_shell(path: Path) -> None:
    _shellcheck(path, "-s", "sh")


@pytest.mark.parametrize("path", PATCHES, ids=_id)
def test_patch_says_why(path: Path) -> None:
    why = re.split(r"^(?:---|diff) ", path.read_text(), maxsplit=1, flags=re.MULTILINE)[0]
    assert len(why.split()) >= 8


def test_every_source_has_a_mirror_and_one_pin() -> None:
    pins: dict[str, str] = {}
    for recipe in PACKAGES:
        for source in recipe.sources:
            assert source.url or source.debian, source.name
            assert pins.setdefault(source.name, source.sha256) == source.sha256


def test_every_file_of_a_recipe_is_named_in_it() -> None:
    for recipe in PACKAGES:
        loose = {path for path in recipe.path.parent.iterdir()} - set(recipe.files)
        assert not loose, f"{recipe.id}: not in source=(): {sorted(path.name for path in loose)}"


@pytest.mark.parametrize("of", ["busybox", "musl"])
def test_workarounds_have_the_form_that_the_table_reads(of: str) -> None:
    for recipe in RECIPES.values():
        for line in recipe.path.read_text().splitlines():
            if f"# {of}:" in line:
                assert re.search(rf"# {of}: [\w.+-]+: \S", line), f"{recipe.id}: {line}"
