"""Documents about published packages: complete, valid by their standard's schema, the same each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mere_helpers.planning.recipe import Recipe, Source
from mere_helpers.store.store import Entry
from mere_helpers.verify.provenance import Published, documents, material, published_packages

from .conftest import sha256
from .rooms import write_package

SHA = "a" * 64
SUMS = {"musl": "1" * 64, "zlib": "2" * 64}


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    (tmp_path / "makepkg.conf").write_text("CARCH=x86_64\n")
    return tmp_path / "makepkg.conf"


@pytest.fixture
def built(tmp_path: Path) -> tuple[dict[str, Recipe], list[Entry]]:
    """Two recipes, and what they have made."""
    entries, recipes = [], {}
    for name, depends, installed in (("musl", [], ["musl-1-1-x86_64"]), ("zlib", ["musl"], ["musl-1-1-x86_64"])):
        more = f"pkgdesc = The {name}\nlicense = MIT\nlicense = GPL-2.0-only OR Zlib\n"
        more += "".join(f"depend = {needed}\n" for needed in depends)
        build = f"pkgbase = {name}\npkgbuild_sha256sum = {SHA}\n" + "".join(f"installed = {i}\n" for i in installed)
        folder = tmp_path / name / "out"
        file = write_package(folder, name, {".BUILDINFO": build}, more=more)
        outputs = {file.name: {"sha256": SUMS[name], "size": 1, "mode": 0o644}}
        entries.append(Entry(f"rebuild/{name}", "key", folder.parent, {"outputs": outputs}))
        url = f"https://example.org/{name}.tar.gz" if name == "musl" else None
        sources = (Source(name=f"{name}.tar.gz", sha256=SHA, url=url, debian=(), recipe=f"packages/{name}"),)
        recipes[f"rebuild/{name}"] = Recipe(
            "rebuild",
            name,
            tmp_path,
            packages=(name,),
            url="https://example.org",
            sources=sources,
            files=(tmp_path / "PKGBUILD", tmp_path / "fix.patch"),
        )
    (tmp_path / "fix.patch").write_text("fix")
    return recipes, entries


@pytest.fixture
def packages(built: tuple[dict[str, Recipe], list[Entry]]) -> list[Published]:
    return published_packages(*built)


def test_the_bill_of_materials_is_valid_and_complete(packages: list[Published], settings: Path) -> None:
    text = documents(packages, settings)["mere.cdx.json"].decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    assert [component["name"] for component in bom["components"]] == ["musl", "zlib"]
    zlib = bom["components"][1]
    assert zlib["purl"] == "pkg:alpm/mere/zlib@1-1?arch=x86_64"
    assert zlib["hashes"] == [{"alg": "SHA-256", "content": SUMS["zlib"]}]
    assert zlib["licenses"] == [{"expression": "(MIT) AND (GPL-2.0-only OR Zlib)"}]
    graph = {item["ref"]: item.get("dependsOn", []) for item in bom["dependencies"]}
    assert graph[zlib["purl"]] == ["pkg:alpm/mere/musl@1-1?arch=x86_64"]
    sources = [item for item in zlib["externalReferences"] if item["type"] == "source-distribution"]
    assert sources[0]["hashes"][0]["content"] == SHA


def test_statements_name_what_was_made_and_with_what(packages: list[Published], settings: Path) -> None:
    musl, zlib = map(json.loads, documents(packages, settings)["mere.intoto.jsonl"].decode().splitlines())
    assert zlib["_type"] == "https://in-toto.io/Statement/v1" and zlib["predicateType"].startswith("https://slsa.dev/")
    assert zlib["subject"] == [{"name": "zlib-1-1-x86_64.pkg.tar.zst", "digest": {"sha256": SUMS["zlib"]}}]
    materials = zlib["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [item["name"] for item in materials] == [
        "recipes/packages/zlib/PKGBUILD",
        "recipes/packages/zlib/fix.patch",
        "recipes/makepkg.conf",
        "zlib.tar.gz",
        "musl-1-1-x86_64.pkg.tar.zst",
    ]
    assert materials[1]["digest"]["sha256"] == sha256("fix")
    assert materials[2]["digest"]["sha256"] == sha256("CARCH=x86_64\n")
    assert materials[4]["digest"]["sha256"] == SUMS["musl"]
    assert musl["predicate"]["buildDefinition"]["resolvedDependencies"][3]["uri"] == "https://example.org/musl.tar.gz"


def test_the_statements_beside_a_package_are_read_back(packages: list[Published], settings: Path) -> None:
    file = packages[1].file
    assert material(file, "recipes/makepkg.conf") is None
    for name, text in documents(packages, settings).items():
        file.with_name(name).write_bytes(text)
    assert material(file, "recipes/makepkg.conf") == sha256("CARCH=x86_64\n")
    assert material(file, "recipes/packages/zlib/fix.patch") == sha256("fix")
    assert material(file, "recipes/packages/musl/PKGBUILD") is None


def test_the_same_packages_give_the_same_documents_in_whichever_order_they_were_found(
    built: tuple[dict[str, Recipe], list[Entry]], packages: list[Published], settings: Path
) -> None:
    recipes, entries = built
    again = published_packages(recipes, reversed(entries))
    assert documents(again, settings) == documents(packages, settings)
