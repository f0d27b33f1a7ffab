"""The system and its own packages: built again, elsewhere, and without something. Needs the second round."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mere_helpers.building.build import build
from mere_helpers.building.builders import installer, package_file, package_work, root
from mere_helpers.building.jobserver import Jobserver
from mere_helpers.building.layers import compose, package_layer
from mere_helpers.building.package_file import SUFFIX, build_info
from mere_helpers.config import load_config
from mere_helpers.errors import BuildError
from mere_helpers.planning.plan import Plan
from mere_helpers.sandbox.idmap import as_mapped_root
from mere_helpers.session import Session
from mere_helpers.store.store import Entry, Store
from mere_helpers.verify.comparisons import Comparison
from mere_helpers.verify.digests import recorded_digests
from mere_helpers.verify.repro import reproduce
from mere_helpers.verify.vary import vary

pytestmark = pytest.mark.containers

CONFIG = load_config()

World = tuple[Plan, dict[str, Entry]]

#: Quick to build, and of several kinds: a library, a program, files alone.
QUICK = ("zlib", "patch", "base-layout")


@pytest.fixture(scope="module")
def world() -> World:
    now = Session(CONFIG)
    ids = now.resolve(["rebuild"])
    entries = now.present(ids)
    missing = set(ids) - set(entries)
    if missing:
        pytest.skip(f"{len(missing)} packages of the second round are not built yet: make bootstrap")
    return now.plan, entries


@pytest.fixture(scope="module")
def repository(world: World) -> Path:
    return Session(CONFIG).publish().folder


def file_of(repository: Path, package: str) -> Path:
    (file,) = repository.glob(f"{package}-[0-9]*.pkg.tar.zst")
    return file


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder that the root of containers can enter, other than pytest's own."""
    with tempfile.TemporaryDirectory(prefix="mere-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def tampered(file: Path, folder: Path, member: str) -> Path:
    """A copy of a package with some more bytes in one of its files."""
    unpacked = subprocess.run(["zstd", "-dcq", file], capture_output=True, check=True).stdout
    buffer = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive, tarfile.open(fileobj=buffer, mode="w") as copy:
        for info in archive:
            data = archive.extractfile(info) if info.isreg() else None
            content = (data.read() if data else b"") + (b"\n/* Nothing to see. */\n" if info.name == member else b"")
            info.size = len(content)
            copy.addfile(info, io.BytesIO(content))
    packed = subprocess.run(["zstd", "-cq"], input=buffer.getvalue(), capture_output=True, check=True)
    (folder / file.name).write_bytes(packed.stdout)
    return folder / file.name


def test_a_package_that_is_not_what_its_recipe_makes_is_found_out(world: World, repository: Path, room: Path) -> None:
    """Also one that is in the container of every build, its own included."""
    plan, entries = world
    real = file_of(repository, "zlib")
    for name in build_info(real)["installed"]:
        (room / f"{name}{SUFFIX}").symlink_to(repository / f"{name}{SUFFIX}")
    (room / real.name).unlink()
    file = tampered(real, room, "include/zlib.h")
    pacman = installer(plan, entries)
    try:
        result = reproduce(CONFIG, plan, file, pacman, sums=recorded_digests(CONFIG).packages)
    finally:
        as_mapped_root(CONFIG, ["rm", "-rf", package_layer(CONFIG, file, pacman)], own=True)
    assert result.different == (file.name,) and result.lines[0] == f"{file.name}: include/zlib.h differs"
    assert result.hint.startswith("perhaps it was made with another recipes/makepkg.conf")


def test_a_package_of_the_repository_is_built_again_from_what_it_says(world: World, repository: Path) -> None:
    plan, entries = world
    file = file_of(repository, "zlib")
    about = build_info(file)
    assert about["pkgbase"] == ["zlib"] and "musl-1.2.5-1-x86_64" in about["installed"]
    assert {name.rsplit("-", 3)[0] for name in about["installed"]} == set(plan.root_packages("rebuild/zlib"))
    sums = recorded_digests(CONFIG).packages
    same = reproduce(CONFIG, plan, file, installer(plan, entries), sums=sums)
    assert same == Comparison({file.name: sums[file.name]})


def test_what_the_repository_says_of_itself_is_valid_and_whole(repository: Path) -> None:
    bill = (repository / "mere.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    packages = recorded_digests(CONFIG).packages
    assert {item["hashes"][0]["content"] for item in json.loads(bill)["components"]} == set(packages.values())
    statements = [json.loads(line) for line in (repository / "mere.intoto.jsonl").read_text().splitlines()]
    subjects = [subject for statement in statements for subject in statement["subject"]]
    assert {subject["name"]: subject["digest"]["sha256"] for subject in subjects} == packages


def test_an_environment_that_is_not_the_recorded_one_is_refused(world: World, repository: Path) -> None:
    plan, entries = world
    file = file_of(repository, "zlib")
    sums = dict(recorded_digests(CONFIG).packages)
    make = file_of(repository, "make").name
    with pytest.raises(BuildError, match=f"{make} is not the recorded one: expected {'0' * 64}"):
        reproduce(CONFIG, plan, file, installer(plan, entries), sums=sums | {make: "0" * 64})


def test_an_environment_that_is_not_there_is_named(world: World, repository: Path, tmp_path: Path) -> None:
    plan, entries = world
    file = Path(shutil.copy(file_of(repository, "zlib"), tmp_path))
    with pytest.raises(BuildError, match="is not in the folder, and the package was built with it"):
        reproduce(CONFIG, plan, file, installer(plan, entries), sums=recorded_digests(CONFIG).packages)


@pytest.mark.parametrize("name", QUICK)
def test_nothing_depends_on_where_and_when_it_is_built(world: World, name: str) -> None:
    plan, entries = world
    id = f"rebuild/{name}"
    with Jobserver(CONFIG.work / "jobs", CONFIG.jobs + 2) as jobserver:
        result = vary(CONFIG, plan, id, entries, jobserver)
    assert not result.different and result.equal.keys() == entries[id].outputs.keys()


#: Each of these files tells of one thing that `vary` varies.
_TALKATIVE = """\
pkgname=talkative
pkgver=1
pkgrel=1
pkgdesc='A recipe of the tests'
arch=(any)
url=https://example.org
license=(MIT)
depends=()
makedepends=(build-essential)
package() {
    mkdir many "$pkgdir/share"
    touch many/{1..40}
    cd "$pkgdir/share"
    date +%Y-%m > date
    printf '%(%Y-%m)T' -1 > clock
    date -d @0 +%H > zone
    bsdtar -cf - -C "$srcdir" many | bsdtar -tf - > order
    uname -n > host
    id -un > name
    echo "$HOME" > home
    echo "$LANG" > locale
    cat /proc/self/uid_map > ids
    echo same > same
}
"""


def test_what_hangs_on_where_and_when_is_found(world: World, tmp_path: Path) -> None:
    shutil.copytree(CONFIG.recipes, tmp_path / "recipes")
    (tmp_path / "recipes/packages/talkative").mkdir()
    (tmp_path / "recipes/packages/talkative/PKGBUILD").write_text(_TALKATIVE)
    config = replace(CONFIG, checkout=tmp_path)
    plan, entries = Plan.from_recipes(config), world[1]
    id = "rebuild/talkative"
    place = replace(config, store=CONFIG.work / "without")
    layers, recipe = root(CONFIG, plan, id, entries), plan.recipes[id]
    first = build(place, Store(place), recipe, package_work(place, recipe, layers), None, key="talkative")
    try:
        with Jobserver(CONFIG.work / "jobs", CONFIG.jobs + 2) as jobserver:
            result = vary(config, plan, id, {**entries, id: first, "packages/talkative": first}, jobserver)
    finally:
        Store(place).remove(first)
    said = "\n".join(result.lines)
    for name in ("date", "clock", "zone", "order", "host", "name", "home", "locale", "ids"):
        assert f": share/{name} differs" in said
    assert "share/same differs" not in said


def test_a_build_without_a_declared_dependency_fails(world: World) -> None:
    plan, entries = world
    stack = plan.stack(plan.root_packages("rebuild/flex"))
    present = [name for name in stack if name != "m4"]
    assert len(present) == len(stack) - 1
    layers = compose(
        CONFIG,
        [package_file(entries[plan.provider(name)], name) for name in present],
        [],
        installer(plan, entries),
    )
    place = replace(CONFIG, store=CONFIG.work / "without")
    flex = plan.recipes["rebuild/flex"]
    with pytest.raises(BuildError, match="m4") as caught:
        build(place, Store(place), flex, package_work(place, flex, layers), None, key="without")
    assert "rebuild/flex failed: status 4" in str(caught.value)
    assert Store(place).find("without") is None
