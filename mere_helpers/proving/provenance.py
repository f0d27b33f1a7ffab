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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..building.package import COMMAND
from ..building.package_file import package_info
from ..config import EPOCH
from ..recipes.recipe import Recipe
from ..storage.store import Entry
from .origin import Origin, origin

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
    origin: Origin

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
    """Read the packages in these entries of the store, by name.

    Raises
    ------
    BuildError
        A file is not a package.
    """
    found = [
        Published(recipes[entry.id], path, output.sha256, package_info(path), origin(path))
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
    # Slow to import, and few need it.
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    bom = Bom()
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, _digest(packages))
    bom.metadata.timestamp = datetime.fromtimestamp(EPOCH, UTC)
    system = Component(name=_SYSTEM, type=ComponentType.OPERATING_SYSTEM, bom_ref=_SYSTEM)
    bom.metadata.component = system
    components = {package.name: _component(package) for package in packages}
    for component in components.values():
        bom.components.add(component)
    bom.register_dependency(system, components.values())
    for package in packages:
        needed = [name for name in package.info.get("depend", []) if name in components]
        bom.register_dependency(components[package.name], [components[name] for name in needed])
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    return f"{text}\n".encode()


def statements(packages: Sequence[Published], settings: Path) -> bytes:
    """In-toto statements with SLSA provenance, a line for each recipe: what was made, from what, and with what.

    Parameters
    ----------
    packages : sequence of Published
        All that are published: they are what each of them was made with.
    settings : Path
        The file with which makepkg is set up.
    """
    files = {package.full_name: package for package in packages}
    recipes: dict[str, list[Published]] = {}
    for package in packages:
        recipes.setdefault(package.recipe.name, []).append(package)
    lines = [json.dumps(_statement(made, files, settings), sort_keys=True) for _, made in sorted(recipes.items())]
    return "".join(f"{line}\n" for line in lines).encode()


def material(file: Path, name: str) -> str | None:
    """The sha256 of something that a package was made from, by the statements beside it; None if they do not tell.

    Nobody looks here whether they are signed.
    """
    try:
        statements = [json.loads(line) for line in file.with_name(STATEMENTS).read_text().splitlines()]
        for statement in statements:
            if file.name in (subject["name"] for subject in statement["subject"]):
                materials = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
                return {item["name"]: str(item["digest"]["sha256"]) for item in materials}.get(name)
    except (OSError, ValueError, LookupError, TypeError):
        pass
    return None


def _component(package: Published) -> Any:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import LicenseExpression
    from packageurl import PackageURL

    def sha256(content: str) -> HashType:
        return HashType(alg=HashAlgorithm.SHA_256, content=content)

    references = [ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(package.recipe.url))]
    for source in package.recipe.sources:
        # Where a file has no page of its own, Debian's archive carries it: its name is all the address there is.
        reference = ExternalReference(
            type=ExternalReferenceType.SOURCE_DISTRIBUTION,
            url=XsUri(source.url or source.name),
            comment=source.name,
            hashes=[sha256(source.sha256)],
        )
        references.append(reference)
    licences = package.info["license"]
    expression = licences[0] if len(licences) == 1 else " AND ".join(f"({licence})" for licence in licences)
    return Component(
        name=package.name,
        version=package.info["pkgver"][0],
        type=ComponentType.LIBRARY if package.name.startswith("lib") else ComponentType.APPLICATION,
        bom_ref=package.purl,
        purl=PackageURL.from_string(package.purl),
        description=package.info["pkgdesc"][0],
        licenses=[LicenseExpression(expression)],
        hashes=[sha256(package.sha256)],
        external_references=references,
        properties=[Property(name="mere:recipe:sha256", value=package.origin.recipe_sha256)],
    )


def _statement(made: Sequence[Published], files: Mapping[str, Published], settings: Path) -> dict[str, Any]:
    recipe, about = made[0].recipe, made[0].origin
    folder = f"recipes/packages/{recipe.name}"
    materials = [{"name": f"{folder}/PKGBUILD", "digest": {"sha256": about.recipe_sha256}}]
    for path in recipe.files[1:]:
        materials.append({"name": f"{folder}/{path.name}", "digest": _sha256(path)})
    materials.append({"name": f"recipes/{settings.name}", "digest": _sha256(settings)})
    for source in recipe.sources:
        uri = {"uri": source.url} if source.url else {}
        materials.append({"name": source.name, "digest": {"sha256": source.sha256}, **uri})
    for name in about.installed:
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


def _sha256(path: Path) -> dict[str, str]:
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _digest(packages: Sequence[Published]) -> str:
    lines = "".join(f"{package.sha256}  {package.file.name}\n" for package in packages)
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
