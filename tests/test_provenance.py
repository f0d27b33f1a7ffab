"""Documents about published packages: complete, valid by their standard's schema, the same each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mere_helpers.proving.provenance import Published, documents, published_packages
from mere_helpers.recipes.pins import Source
from mere_helpers.recipes.recipe import Recipe
from mere_helpers.storage.store import Entry

from .rooms import write_package

SHA = "a" * 64
SUMS = {"musl": "1" * 64, "zlib": "2" * 64}


@pytest.fixture
def packages(tmp_path: Path) -> list[Published]:
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
            "rebuild", name, tmp_path, packages=(name,), url="https://example.org", sources=sources
        )
    return published_packages(recipes, entries)


def test_the_bill_of_materials_is_valid_and_complete(packages: list[Published]) -> None:
    text = documents(packages)["mere.cdx.json"].decode()
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


def test_statements_name_what_was_made_and_with_what(packages: list[Published]) -> None:
    musl, zlib = map(json.loads, documents(packages)["mere.intoto.jsonl"].decode().splitlines())
    assert zlib["_type"] == "https://in-toto.io/Statement/v1" and zlib["predicateType"].startswith("https://slsa.dev/")
    assert zlib["subject"] == [{"name": "zlib-1-1-x86_64.pkg.tar.zst", "digest": {"sha256": SUMS["zlib"]}}]
    materials = zlib["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [item["name"] for item in materials] == [
        "recipes/packages/zlib/PKGBUILD",
        "zlib.tar.gz",
        "musl-1-1-x86_64.pkg.tar.zst",
    ]
    assert materials[2]["digest"]["sha256"] == SUMS["musl"]
    assert musl["predicate"]["buildDefinition"]["resolvedDependencies"][1]["uri"] == "https://example.org/musl.tar.gz"


def test_the_same_packages_give_the_same_documents(packages: list[Published]) -> None:
    assert documents(packages) == documents(list(packages))
