"""What is taken from a build: only the packages of its recipe, and only what a recipe may have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mere_helpers.building.gate import _listed, collect, problems
from mere_helpers.building.package_file import SUFFIX, package_info, package_name
from mere_helpers.config import load_config
from mere_helpers.errors import PackageError
from mere_helpers.planning.recipe import Recipe, load_recipes
from mere_helpers.verify.digests import recorded_digests

from .rooms import write_package


class Build:
    """A recipe, and what its build has left."""

    def __init__(self, folder: Path, recipe: str = "arch=(x86_64)\n") -> None:
        self.out, self.target = folder / "out", folder / "target"
        for made in (self.out, self.target):
            made.mkdir()
        (folder / "PKGBUILD").write_text(recipe)
        self.recipe = Recipe("packages", "tool", folder / "PKGBUILD", version="1-1", packages=("tool",))

    def collect(self) -> list[str]:
        def opened(name: str) -> int:
            return os.open(self.out / name, os.O_RDONLY)

        return collect(self.recipe, sorted(os.listdir(self.out)), opened, self.target, ["/mere/"])


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path)


def test_the_packages_of_a_recipe_are_copied(build: Build) -> None:
    file = write_package(build.out, "tool", {"bin/": "", "bin/tool": "a tool"})
    assert build.collect() == []
    assert (build.target / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("machine", ["any", "x86_64;touch${IFS}pwned", "x86_64-1", "<img src=x>", "\N{SNOWMAN}"])
def test_a_package_for_another_machine_is_refused(build: Build, machine: str) -> None:
    file = write_package(build.out, "tool", {}, more=f"arch = {machine}\n")
    file.rename(build.out / f"tool-1-1-{machine}.pkg.tar.zst".replace("/", ""))
    assert build.collect()


def test_the_gate_knows_the_machine_of_every_recorded_package() -> None:
    config = load_config()
    machines = {
        package: _listed(recipe, "arch") for recipe in load_recipes(config).values() for package in recipe.packages
    }
    for file in recorded_digests(config).packages:
        name, machine = package_name(file), file.removesuffix(SUFFIX).rpartition("-")[2]
        assert machines[name] == [machine]


@pytest.mark.parametrize("line", ["arch = any", "pkgname = other", "pkgver = 2-1"])
def test_a_description_that_says_two_things_is_refused(build: Build, line: str) -> None:
    write_package(build.out, "tool", {}, more=f"{line}\n")
    assert any("''" in found for found in build.collect())


@pytest.mark.parametrize("sign", ["\r", "\x0b", "\x0c", "\x1c", "\0", "\x1b]52;c;eA==\x07"])
def test_a_description_with_control_characters_is_refused(build: Build, sign: str) -> None:
    """Python would end a line where pacman does not, or a terminal would obey."""
    file = write_package(build.out, "tool", {}, more=f"pkgdesc = x{sign}arch = any\n")
    for read in (package_info, lambda file: build.collect()):
        with pytest.raises(PackageError, match="control character"):
            read(file)


@pytest.mark.parametrize("sign", ["\N{LINE SEPARATOR}", "\x85", "ä"])
def test_only_the_end_of_a_line_ends_a_line(build: Build, sign: str) -> None:
    write_package(build.out, "tool", {}, more=f"pkgdesc = x{sign}arch = any\n")
    assert build.collect() == []


def test_a_package_without_a_description_is_refused(build: Build, tmp_path: Path) -> None:
    file = write_package(build.out, "tool", {".PKGINFO -> x": ""})
    with pytest.raises(PackageError, match="twice"):
        build.collect()
    assert package_info(file)["pkgname"] == ["tool"], "what comes first can be read"


def test_an_install_script_needs_a_recipe_that_has_one(tmp_path: Path) -> None:
    for name, recipe, wrong in (
        ("without", "arch=(x86_64)\n", ["tool: .INSTALL: not a file that the recipe asks for"]),
        ("with", "arch=(x86_64)\npackage() {\n    install=tool.install\n}\n", []),
        ("by hand", "arch=(x86_64)\npackage() {\n    make --install=x\n}\n", ["tool: .INSTALL: not a file that"]),
    ):
        (tmp_path / name).mkdir()
        build = Build(tmp_path / name, recipe)
        write_package(build.out, "tool", {".INSTALL": "post_install() { :; }"})
        found = build.collect()
        assert len(found) == len(wrong) and all(line.startswith(said) for line, said in zip(found, wrong, strict=True))


def test_a_file_with_holes_is_not_copied(build: Build) -> None:
    file = write_package(build.out, "tool", {})
    os.truncate(file, 512 << 20)
    with pytest.raises(PackageError, match="there are holes"):
        build.collect()
    assert not any(build.target.iterdir())


def test_a_file_that_is_too_large_is_not_copied(build: Build) -> None:
    os.truncate(write_package(build.out, "tool", {}), 3 << 30)
    with pytest.raises(PackageError, match="has 3,221,225,472 bytes; a package may have 1,073,741,824"):
        build.collect()
    assert not any(build.target.iterdir())


def test_a_directory_full_of_files_is_not_read(build: Build) -> None:
    for number in range(100):
        write_package(build.out, f"tool{number}", {})
    assert build.collect() == ["it left 100 files; the recipe makes 1"]


@pytest.mark.parametrize(
    "files",
    [
        {"bin/": "", "etc/x": "", "include/x": "", "lib/x": "", "libexec/x": "", "share/x": "", "var/lib/x": ""},
        {"root/": "", "tmp/": "", "dev/": "", "proc/": "", "usr -> .": "", "lib64 -> lib": "", "sbin -> bin": ""},
        {"var/run -> ../run": "", "lib/x -> y": "", "var/lib/pacman/": "", "share/libalpm/hooks/": ""},
    ],
)
def test_what_packages_have_is_taken(tmp_path: Path, files: dict[str, str]) -> None:
    assert problems(write_package(tmp_path, "tool", files), ["/mere/"]) == []
