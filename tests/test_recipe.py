"""Recipes as bash reads them, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mere_helpers.config import Config
from mere_helpers.errors import RecipeError
from mere_helpers.planning.recipe import Source, function_text, load_recipe, load_recipes

from .conftest import sha256

Add = Callable[..., Path]
PIN = sha256("file")


def test_a_package(config: Config) -> None:
    zlib = load_recipe(config, "zlib")
    folder = config.recipes / "packages" / "zlib"
    assert zlib.id == "packages/zlib"
    assert zlib.version == "1.0-1"
    assert zlib.packages == ("zlib",)
    assert zlib.description == "The zlib of the tests"
    assert zlib.url == "https://example.org/zlib"
    assert zlib.licence == ("MIT",)
    assert zlib.depends == {"zlib": ("musl",)}
    assert zlib.makedepends == ("build-essential",)
    assert zlib.files == (folder / "PKGBUILD", folder / "fix.patch")
    assert zlib.sources == (
        Source(
            name="zlib-1.0.tar.gz",
            url="https://example.org/zlib-1.0.tar.gz",
            sha256=sha256("zlib"),
            debian=("zlib=1:1.0-1",),
            recipe="packages/zlib",
        ),
    )


def test_a_split_package(config: Config) -> None:
    gcc = load_recipe(config, "gcc")
    assert gcc.packages == ("gcc", "gcc-libs")
    assert gcc.version == "1:14.2.0-2"
    assert gcc.description == "The compiler"
    assert gcc.licence == ("GPL-3.0-or-later WITH GCC-exception-3.1", "LGPL-2.1-or-later", "MIT")
    assert gcc.depends == {"gcc": ("musl", "gcc-libs", "zlib>=1.0"), "gcc-libs": ("musl",)}


def test_each_package_of_a_split_recipe_needs_a_description(config: Config) -> None:
    path = config.recipes / "packages" / "gcc" / "PKGBUILD"
    path.write_text(path.read_text().replace("    pkgdesc='Its libraries'\n", ""))
    with pytest.raises(RecipeError, match="packages/gcc lacks pkgdesc of gcc-libs"):
        load_recipe(config, "gcc")


def test_a_package_function_may_add_dependencies_of_a_single_package(config: Config, add_package: Add) -> None:
    path = add_package("one", depends="musl")
    path.write_text(path.read_text().replace("# Comments stay.", "depends+=(zlib)\n    install=one.install"))
    (path.parent / "one.install").write_text("post_install() { :; }\n")
    one = load_recipe(config, "one")
    assert one.depends == {"one": ("musl", "zlib")}
    assert one.files == (path, path.parent / "one.install")


def test_a_step_uses_the_sources_of_packages_but_not_their_recipes(config: Config, add_step: Add) -> None:
    step = add_step("cross/both", sources_of="make zlib", makedepends="cross/make")
    both = load_recipe(config, "cross/both")
    assert [source.name for source in both.sources] == ["make_4.4.1.orig.tar.xz", "zlib-1.0.tar.gz"]
    assert both.sources[0].url is None
    assert both.files == (step, config.recipes / "packages" / "zlib" / "fix.patch")
    assert both.makedepends == ("cross/make",)
    assert (both.version, both.packages) == ("", ())


def test_names(config: Config, add_step: Add) -> None:
    assert load_recipe(config, "make").id == "packages/make"
    assert load_recipe(config, "cross/make").id == "cross/make"
    assert load_recipe(config, "adjust").id == "temptools/adjust"
    assert load_recipe(config, "gcc-libs").id == "packages/gcc"
    add_step("cross/adjust")
    with pytest.raises(RecipeError, match="adjust could be cross/adjust or temptools/adjust"):
        load_recipe(config, "adjust")


@pytest.mark.parametrize(("name", "near"), [("zlbi", "zlib"), ("packages/mussl", "packages/musl"), ("qqq", "recipes/")])
def test_an_unknown_name_is_answered_with_its_neighbours(config: Config, name: str, near: str) -> None:
    with pytest.raises(RecipeError, match=f"no recipe {name}") as caught:
        load_recipe(config, name)
    assert near in caught.value.hint


def test_all_recipes_come_in_order(config: Config) -> None:
    recipes = load_recipes(config)
    assert list(recipes)[:3] == ["cross/make", "temptools/adjust", "packages/base-layout"]
    assert len(recipes) == 9
    assert all(recipe.id == id for id, recipe in recipes.items())
    assert recipes["packages/gcc"] == load_recipe(config, "gcc")


def test_all_mistakes_are_told_at_once(config: Config, add_package: Add) -> None:
    for name in ("bad", "worse"):
        path = add_package(name)
        path.write_text(path.read_text().replace("pkgver=1.0\n", ""))
    with pytest.raises(RecipeError, match=r"(?s)packages/bad lacks pkgver.*packages/worse lacks pkgver"):
        load_recipes(config)


@pytest.mark.parametrize("field", ["pkgname", "pkgver", "pkgrel", "pkgdesc", "arch", "url", "license"])
def test_a_missing_field_is_named(config: Config, add_package: Add, field: str) -> None:
    path = add_package("bad")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(f"{field}=")))
    with pytest.raises(RecipeError, match=f"packages/bad lacks {field}"):
        load_recipe(config, "bad")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("source=(https://example.org/a)", "1 sources and 0 sha256sums"),
        (f"source=(https://example.org/a)\nsha256sums=({PIN} {PIN})", "1 sources and 2 sha256sums"),
        ("source=(https://example.org/a)\nsha256sums=(SKIP)", "a is not pinned, its sha256 is 'SKIP'"),
        (f"source=(https://example.org/a)\nsha256sums=({PIN[1:]})", "a is not pinned"),
        (f"source=(a.patch)\nsha256sums=({PIN})", "nobody has a.patch"),
        (f"source=(git+https://example.org/a)\nsha256sums=({PIN})", "neither a URL nor a file name"),
        (f"source=(../a)\nsha256sums=({PIN})", "neither a URL nor a file name"),
        (f"source=(https://example.org/)\nsha256sums=({PIN})", "neither a URL nor a file name"),
        (f"source=(https://example.org/a a::https://example.org/b)\nsha256sums=({PIN} {PIN})", "two files named a"),
        ("_debian=(musl-1.2.5)", "musl-1.2.5 in _debian is not NAME=VERSION"),
        ("pkgname=other", "packages/bad calls itself other"),
        ("pkgbase=bad\npkgname=(bad bad-dev)", r"lacks package_bad\(\), package_bad-dev\(\)"),
        ("install=bad.install", "lacks bad.install"),
        ("echo oops >&2; false", "oops"),
        ("if", "bash cannot read"),
        ("exit 0", "bash cannot read"),
        ('x="$undefined"', "undefined"),
    ],
)
def test_a_wrong_recipe_is_refused(config: Config, add_package: Add, more: str, message: str) -> None:
    add_package("bad", more=more)
    with pytest.raises(RecipeError, match=message):
        load_recipe(config, "bad")


def test_a_changed_patch_is_refused_with_both_sums(config: Config) -> None:
    (config.recipes / "packages" / "zlib" / "fix.patch").write_text("fixed")
    with pytest.raises(RecipeError, match=f"expected {sha256('fix')}\n.*{sha256('fixed')}"):
        load_recipe(config, "zlib")


def test_sources_may_be_renamed(config: Config, add_package: Add) -> None:
    add_package("renamed", more=f"source=(new-$pkgver.tar.gz::https://example.org/v1.tar.gz)\nsha256sums=({PIN})")
    source = load_recipe(config, "renamed").sources[0]
    assert (source.name, source.url) == ("new-1.0.tar.gz", "https://example.org/v1.tar.gz")


def test_a_step_must_be_complete(config: Config, add_step: Add) -> None:
    path = add_step("cross/bad", sources_of="nothing")
    with pytest.raises(RecipeError, match="cross/bad uses the sources of nothing"):
        load_recipe(config, "cross/bad")
    path.write_text("sources_of=()\nbuild() { :; }\n")
    with pytest.raises(RecipeError, match=r"cross/bad lacks makedepends, package\(\)"):
        load_recipe(config, "cross/bad")


def test_a_recipe_sees_nothing_of_the_caller(config: Config, add_package: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    add_package("curious", more='echo this disturbs nobody\npkgver=2${SECRET:-}\ndepends=("$CARCH-$PWD")')
    curious = load_recipe(config, "curious")
    assert curious.version == "2-1"
    assert curious.depends["curious"] == (f"x86_64-{os.path.realpath(config.recipes)}/packages/curious",)


def test_values_keep_blanks_and_newlines(config: Config, add_package: Add) -> None:
    add_package("odd", more="license=('A  B' $'C\\nD' '')\npkgdesc='* ü'")
    odd = load_recipe(config, "odd")
    assert odd.licence == ("A  B", "C\nD", "")
    assert odd.description == "* ü"


def test_the_digest_follows_names_and_contents(config: Config, add_package: Add) -> None:
    before = load_recipe(config, "musl").digest
    assert before == load_recipe(config, "musl").digest
    path = add_package("musl", depends="base-layout", more="# a comment")
    assert load_recipe(config, "musl").digest != before
    zlib = load_recipe(config, "zlib").digest
    patch = config.recipes / "packages" / "zlib" / "fix.patch"
    patch.rename(patch.with_name("mend.patch"))
    recipe = config.recipes / "packages" / "zlib" / "PKGBUILD"
    recipe.write_text(recipe.read_text().replace("fix.patch", "mend.patch"))
    assert load_recipe(config, "zlib").digest != zlib
    assert path.is_file()


def test_functions_are_shown_as_they_stand_in_the_file(config: Config) -> None:
    zlib = load_recipe(config, "zlib")
    assert function_text(zlib, "package") == ('package() {\n    # Comments stay.\n    echo zlib > "$pkgdir/zlib"\n}')
    assert function_text(load_recipe(config, "adjust"), "build") == "build() { :; }"
    assert function_text(load_recipe(config, "gcc"), "package_gcc-libs").startswith("package_gcc-libs() {\n")
    assert function_text(zlib) == zlib.path.read_text().rstrip("\n")


def test_a_missing_function_is_answered_with_those_there_are(config: Config) -> None:
    with pytest.raises(RecipeError, match="packages/gcc has no function prepare") as caught:
        function_text(load_recipe(config, "gcc"), "prepare")
    assert caught.value.hint == "it has build, package_gcc, package_gcc-libs"


def test_a_recipe_may_say_how_long_its_build_takes(config: Config, add_package: Add, add_step: Add) -> None:
    assert {recipe.time_limit_s for recipe in load_recipes(config).values()} == {6 * 3600}
    add_package("slow", more="_time_limit=86400")
    step = add_step("cross/slow")
    step.write_text(f"{step.read_text()}\n_time_limit=90000\n")
    assert load_recipe(config, "packages/slow").time_limit_s == 86400
    assert load_recipe(config, "cross/slow").time_limit_s == 90000


@pytest.mark.parametrize("said", ["", "0", "-1", "1h", "1e99", "inf", "(1 2)", "100000000", "$'1\\n'"])
def test_a_time_limit_is_a_number_of_seconds(config: Config, add_package: Add, said: str) -> None:
    add_package("bad", more=f"_time_limit={said}")
    with pytest.raises(RecipeError, match="packages/bad has the time limit") as caught:
        load_recipe(config, "bad")
    assert "_time_limit=SECONDS" in caught.value.hint
