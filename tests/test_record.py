"""What the long proofs have shown is remembered, by the bytes that were compared."""

from __future__ import annotations

import resource

import pytest

from mere_helpers.building.package_file import package_name
from mere_helpers.config import Config, load_config
from mere_helpers.errors import RecipeError
from mere_helpers.planning.recipe import load_recipes
from mere_helpers.press.evidence import proofs
from mere_helpers.verify.digests import Digests, recorded_digests, update
from mere_helpers.verify.records import record_proof, recorded_proofs

ZLIB, BASH = "zlib-1-1-x86_64.pkg.tar.zst", "bash-1-1-x86_64.pkg.tar.zst"


def test_proofs_are_added_and_renewed(config: Config) -> None:
    assert recorded_proofs(config) == {}
    record_proof(config, "round 3", {ZLIB: "a" * 64, BASH: "b" * 64})
    record_proof(config, "clang 14.0.6", {ZLIB: "a" * 64})
    record_proof(config, "round 3", {ZLIB: "c" * 64})
    assert recorded_proofs(config) == {
        "round 3": {ZLIB: "c" * 64, BASH: "b" * 64},
        "clang 14.0.6": {ZLIB: "a" * 64},
    }


def test_what_is_refuted_is_dropped(config: Config) -> None:
    record_proof(config, "round 3", {ZLIB: "a" * 64, BASH: "b" * 64})
    record_proof(config, "round 3", {BASH: "c" * 64}, refuted={ZLIB})
    assert recorded_proofs(config) == {"round 3": {BASH: "c" * 64}}


def test_where_nothing_was_found_out_not_a_byte_changes(config: Config) -> None:
    record_proof(config, "round 3", {ZLIB: "a" * 64})
    record = config.recipes / "proofs.toml"
    record.write_text(f"# By hand.\n{record.read_text()}")
    before = record.read_bytes()
    record_proof(config, "round 3", {ZLIB: "a" * 64}, refuted={BASH})
    record_proof(config, "elsewhere", {})
    assert record.read_bytes() == before


def test_a_record_that_cannot_be_written_is_left_as_it_was(config: Config) -> None:
    record_proof(config, "round 3", {ZLIB: "a" * 64})
    record = config.recipes / "proofs.toml"
    before = record.read_bytes()
    # Root may write everywhere, but not files that are larger than the limit.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(RecipeError, match=r"cannot write recipes/proofs\.toml: File too large"):
            record_proof(config, "round 3", {BASH: "b" * 64}, refuted={ZLIB})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert record.read_bytes() == before and not list(config.recipes.glob(".proofs*"))


def test_a_record_that_cannot_be_read_is_not_overwritten(config: Config) -> None:
    (config.recipes / "proofs.toml").write_text("[round")
    with pytest.raises(RecipeError, match=r"cannot read recipes/proofs\.toml"):
        record_proof(config, "round 3", {ZLIB: "a" * 64})


def test_a_proof_about_an_older_package_is_not_taken_for_one_about_this(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERE_CHECKOUT", str(config.checkout))
    monkeypatch.setenv("MERE_STORE", str(config.store))
    update(config, Digests({}, {ZLIB: "a" * 64, BASH: "b" * 64}))
    record_proof(config, "round 3", {ZLIB: "a" * 64, BASH: "c" * 64})
    record_proof(config, "clang 14.0.6", {ZLIB: "a" * 64, "cross/gcc": "d" * 64})
    table = proofs()
    assert table.columns == ("package", "published", "round 3", "clang 14.0.6")
    assert table.rows == (
        ("cross/gcc", "", "", "d" * 16),
        ("bash", "b" * 16, "an older package", ""),
        ("zlib", "a" * 16, "equal", "equal"),
    )
    assert table.note == "Equal, of 2: round 3 1, clang 14.0.6 1."


def test_what_the_checkout_records_names_no_others_than_its_packages() -> None:
    config = load_config()
    known = {name for recipe in load_recipes(config).values() for name in recipe.packages}
    named = {package_name(file) for proof in recorded_proofs(config).values() for file in proof}
    assert named <= known | {"cross/gcc"}


@pytest.mark.parametrize("proof", ["round 3", "elsewhere", "clang ", "gcc-"])
def test_each_proof_of_the_checkout_is_about_all_packages_as_they_are_now(proof: str) -> None:
    """Those with other compilers have the version behind the name."""
    config = load_config()
    found = [shown for name, shown in recorded_proofs(config).items() if name.startswith(proof)]
    assert found, f"recipes/proofs.toml has no table {proof}"
    for shown in found:
        assert recorded_digests(config).packages.items() - shown.items() == set()
