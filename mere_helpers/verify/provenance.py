"""Where published packages come from, in the forms that other tools read: a CycloneDX SBOM, and in-toto statements.

Both are made from what the packages say about themselves (``.PKGINFO``, ``.BUILDINFO``) and from the pins of their
recipes, and are the same on every machine that gets the same packages.

The formats: https://cyclonedx.org/docs/1.6/json/, https://in-toto.io/Statement/v1, https://slsa.dev/spec/v1.0/provenance.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..building.builders import COMMAND
from ..building.package_file import build_info, package_info
from ..config import EPOCH
from ..files import sha256
from ..planning.recipe import Recipe
from ..store.store import Entry

#: The names of the two documents in a repository.
SBOM, STATEMENTS = "mere.cdx.json", "mere.intoto.jsonl"

# Tag URIs (RFC 4151) name things for good without a server behind them.
_BUILDER = "tag:mere-linux,2026:unprivileged-lxc-container"
_BUILD_TYPE = "tag:mere-linux,2026:makepkg/v1"

#: Said of the packages among what each was made from, because their sums alone would not tell.
_ENVIRONMENT = "the packages of the round before, equal to the published ones in everything that is installed"

_SYSTEM = "mere"


@dataclass(frozen=True)
class Published:
    """A published package: its recipe, its file, the file's sha256, and what it says about itself."""

    recipe: Recipe
    file: Path
    sha256: str
    info: Mapping[str, list[str]]
    build: Mapping[str, list[str]]

    @property
    def name(self) -> str:
        """The package."""
        return self.info["pkgname"][0]

    @property
    def full_name(self) -> str:
        """As ``.BUILDINFO`` lists it: NAME-VERSION-RELEASE-ARCHITECTURE."""
        return f"{self.name}-{self.info['pkgver'][0]}-{self.info['arch'][0]}"

    @property
    def purl(self) -> str:
        """Its package URL."""
        return f"pkg:alpm/{_SYSTEM}/{self.name}@{self.info['pkgver'][0]}?arch={self.info['arch'][0]}"


def published_packages(recipes: Mapping[str, Recipe], entries: Iterable[Entry]) -> list[Published]:
    """Read the packages in these entries of the store, by name. BuildError: a file is not a package."""
    found = [
        Published(recipes[entry.id], path, output.sha256, package_info(path), build_info(path))
        for entry in entries
        for name, output in entry.outputs.items()
        for path in [entry.tree / name]
    ]
    return sorted(found, key=lambda package: package.name)


def documents(packages: Sequence[Published], settings: Path) -> dict[str, bytes]:
    """Both documents by file name; `settings` is the file with which makepkg is set up."""
    return {SBOM: sbom(packages), STATEMENTS: statements(packages, settings)}


def sbom(packages: Sequence[Published]) -> bytes:
    """A CycloneDX 1.6 bill of materials: each package with its licence, sha256, sources, and what it depends on."""
    lines = "".join(f"{package.sha256}  {package.file.name}\n" for package in packages)
    digest = hashlib.sha256(lines.encode()).hexdigest()
    urls = {package.name: package.purl for package in packages}
    needed = {_SYSTEM: set(urls.values())}
    for package in packages:
        needed[package.purl] = {urls[name] for name in package.info.get("depend", []) if name in urls}
    bom = {
        "components": sorted(map(_component, packages), key=lambda component: (component["type"], component["name"])),
        "dependencies": [
            {"dependsOn": sorted(others), "ref": ref} if others else {"ref": ref}
            for ref, others in sorted(needed.items())
        ],
        "metadata": {
            "component": {"bom-ref": _SYSTEM, "name": _SYSTEM, "type": "operating-system"},
            "timestamp": datetime.fromtimestamp(EPOCH, UTC).isoformat(),
        },
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, f"sha256:{digest}").urn,
        "version": 1,
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
    }
    return f"{json.dumps(bom, indent=1)}\n".encode()


def statements(packages: Sequence[Published], settings: Path) -> bytes:
    """In-toto statements with SLSA provenance, a line for each recipe: what was made, from what, and with what."""
    files = {package.full_name: package for package in packages}
    recipes: dict[str, list[Published]] = {}
    for package in packages:
        recipes.setdefault(package.recipe.name, []).append(package)
    lines = [json.dumps(_statement(made, files, settings), sort_keys=True) for _, made in sorted(recipes.items())]
    return "".join(f"{line}\n" for line in lines).encode()


def material(file: Path, name: str) -> str | None:
    """The sha256 of something that a package was made from, by the statements beside it, signed or not; or None."""
    with suppress(OSError, ValueError, LookupError, TypeError):
        statements = [json.loads(line) for line in file.with_name(STATEMENTS).read_text().splitlines()]
        for statement in statements:
            if file.name in (subject["name"] for subject in statement["subject"]):
                materials = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
                return {item["name"]: str(item["digest"]["sha256"]) for item in materials}.get(name)
    return None


def _component(package: Published) -> dict[str, Any]:
    references: list[dict[str, Any]] = [{"type": "website", "url": package.recipe.url}]
    for source in package.recipe.sources:
        # Where a file has no page of its own, Debian's archive carries it: its name is all the address there is.
        hashes, url = _hashes(source.sha256), source.url or source.name
        references.append({"comment": source.name, "hashes": hashes, "type": "source-distribution", "url": url})
    licences = package.info["license"]
    expression = licences[0] if len(licences) == 1 else " AND ".join(f"({licence})" for licence in licences)
    name, version, machine = (package.info[field][0] for field in ("pkgname", "pkgver", "arch"))
    return {
        "bom-ref": package.purl,
        "description": package.info["pkgdesc"][0],
        "externalReferences": sorted(references, key=lambda item: (item["type"], item["url"], item.get("comment", ""))),
        "hashes": _hashes(package.sha256),
        "licenses": [{"expression": expression}],
        "name": name,
        "properties": [{"name": "mere:recipe:sha256", "value": package.build["pkgbuild_sha256sum"][0]}],
        "purl": f"pkg:alpm/{_SYSTEM}/{quote(name).lower()}@{quote(version)}?arch={machine}",
        "type": "library" if name.startswith("lib") else "application",
        "version": version,
    }


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]


def _statement(made: Sequence[Published], files: Mapping[str, Published], settings: Path) -> dict[str, Any]:
    recipe, about = made[0].recipe, made[0].build
    folder = f"recipes/packages/{recipe.name}"
    materials = [{"name": f"{folder}/PKGBUILD", "digest": {"sha256": about["pkgbuild_sha256sum"][0]}}]
    for path in recipe.files[1:]:
        materials.append({"name": f"{folder}/{path.name}", "digest": {"sha256": sha256(path)}})
    materials.append({"name": f"recipes/{settings.name}", "digest": {"sha256": sha256(settings)}})
    for source in recipe.sources:
        uri = {"uri": source.url} if source.url else {}
        materials.append({"name": source.name, "digest": {"sha256": source.sha256}, **uri})
    for name in sorted(about["installed"]):
        needed = files[name]
        materials.append({"name": needed.file.name, "digest": {"sha256": needed.sha256}, "uri": needed.purl})
    definition = {
        "buildType": _BUILD_TYPE,
        "externalParameters": {"recipe": recipe.name},
        "internalParameters": {"command": list(COMMAND), "SOURCE_DATE_EPOCH": EPOCH, "environment": _ENVIRONMENT},
        "resolvedDependencies": materials,
    }
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": package.file.name, "digest": {"sha256": package.sha256}} for package in made],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"buildDefinition": definition, "runDetails": {"builder": {"id": _BUILDER}}},
    }
