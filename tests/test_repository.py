"""The repository and the systems installed from it; these need all packages, and say so where they are not built."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mere_helpers.building.repository import Repository, install, publish, tamper
from mere_helpers.config import Config, load_config
from mere_helpers.errors import ContainerError, RepositoryError
from mere_helpers.sandbox.sandbox import Bind, Sandbox
from mere_helpers.session import Session

pytest_plugins = ("tests.rooms",)
pytestmark = pytest.mark.containers

CONFIG = load_config()

World = tuple[Repository, Path]


@pytest.fixture(scope="module")
def world() -> World:
    session = Session(CONFIG)
    ids = session.resolve(["packages"])
    missing = set(ids) - set(session.present(ids))
    if missing:
        pytest.skip(f"{len(missing)} packages are not built yet: make bootstrap")
    return session.install()


def test_the_key_is_private_while_it_signs(room: Config, busybox: Path) -> None:
    (room.store / "key").mkdir(parents=True)
    (room.store / "key/fingerprint").write_text("F")
    scripts = room.recipes / "repository"
    scripts.mkdir()
    (scripts / "publish.sh").write_text("mkdir /repository && stat -c %a /key > /repository/mode\n")
    repository = publish(room, [], [busybox], {})
    assert (repository.folder / "mode").read_text() == "700\n"


def test_a_link_in_place_of_the_installed_system_is_never_stored(room: Config, busybox: Path) -> None:
    """A system whose root is a link would have had a directory of the host for the root of a sandbox."""
    scripts = room.checkout / "link/recipes/repository"
    shutil.copytree(room.recipes, scripts.parent, ignore=shutil.ignore_patterns("repository"))
    scripts.mkdir()
    (scripts / "install.sh").write_text("rmdir /system && ln -s / /system\n")
    (room.store / "repository").mkdir()
    repository = Repository(room.store / "repository", "F", {})
    with pytest.raises(ContainerError, match="system"):
        install(replace(room, checkout=room.checkout / "link"), repository, [], [busybox])
    assert not list((room.store / "systems").iterdir())


def test_every_package_has_a_signature_and_so_has_the_database(world: World) -> None:
    repository, _ = world
    for file in [*repository.files.values(), repository.folder / "mere.db.tar.zst"]:
        assert Path(f"{file}.sig").stat().st_size > 100
    assert (repository.folder / "mere.db").is_symlink()


def test_the_private_key_stays_in_the_store(world: World) -> None:
    repository, system = world
    assert not list(repository.folder.glob("secring*"))
    assert (
        not list(system.glob("etc/pacman.d/gnupg/secring*"))
        or not (system / "etc/pacman.d/gnupg/secring.gpg").stat().st_size
    )


def test_installed_files_have_owners_and_are_unaltered(world: World) -> None:
    _, system = world
    with Sandbox(CONFIG, [system]) as container:
        script = "pacman -Qkk 2>&1 | grep -v ' 0 altered'; pacman -Qo /bin/sh /usr/lib/libc.so"
        done = container.run(["sh", "-c", script])
    # What is mounted over two folders belongs to the host; the list of mirrors is written when the system is installed.
    altered = [line for line in done.tail.splitlines() if "altered files" in line]
    assert [line.partition(":")[0] for line in altered] == ["base-layout"] and ", 2 altered" in altered[0], done.tail
    assert "/proc (UID mismatch)" in done.tail and "/sys (UID mismatch)" in done.tail
    assert "/bin/sh is owned by busybox" in done.tail and "/lib/libc.so is owned by musl" in done.tail


@pytest.mark.parametrize("what", ["package", "database"])
def test_what_is_intact_is_accepted(world: World, what: str) -> None:
    tamper(CONFIG, *world, what, "intact")


@pytest.mark.parametrize(
    ("what", "how", "reason"),
    [
        ("package", "altered", "invalid or corrupted package"),
        ("package", "unsigned", "failed retrieving file .zlib.*sig"),
        ("package", "resigned", "required key missing from keyring"),
        ("database", "altered", "signature from .* is invalid"),
        ("database", "unsigned", "failed retrieving file .mere.db.sig"),
        ("database", "resigned", "is unknown"),
    ],
)
def test_what_is_not_is_refused(world: World, what: str, how: str, reason: str) -> None:
    with pytest.raises(RepositoryError, match=reason):
        tamper(CONFIG, *world, what, how)


def test_a_system_takes_packages_from_the_repository(world: World) -> None:
    repository, system = world
    with Sandbox(CONFIG, [system], binds=[Bind(repository.folder, "/repository")]) as container:
        done = container.run(["sh", "-ec", "pacman -Sy --noconfirm --noprogressbar m4 && pacman -Qqo /bin/m4"])
    assert done.code == 0 and done.tail.endswith("m4\n"), done.tail
