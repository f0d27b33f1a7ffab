"""Are two builds of a package equal, and where do they differ first?"""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest

from mere_helpers.building.comparison import differences, payload, payload_digest
from mere_helpers.building.package_file import package_info
from mere_helpers.config import Config
from mere_helpers.errors import PackageError

from .conftest import sha256
from .rooms import CHECKOUT, write_package

pytest_plugins = ("tests.rooms",)

#: Nothing is written there: no test but one gets as far as diffoscope.
CONFIG = Config(CHECKOUT, Path("/nonexistent"), Path("/nonexistent"))

FILES = {"bin/": "", "bin/hello": "hello", "bin/hi -> hello": ""}


def listed(files: dict[str, str]) -> dict[str, str | bytes]:
    """These files behind a list of them with their sums, as makepkg packs them."""
    lines = "".join(f"./{name} sha256digest={sha256(text)}\n" for name, text in files.items())
    return {".MTREE": gzip.compress(lines.encode(), mtime=0), **files}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    return tmp_path / "1", tmp_path / "2"


@pytest.fixture(autouse=True)
def no_diffoscope(monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, **options: None if name == "diffoscope" else real(name, **options)
    )


def test_equal_packages_have_no_differences(folders: tuple[Path, Path]) -> None:
    for folder in folders:
        write_package(folder, "hello", FILES)
    assert differences(CONFIG, *folders) == []


def test_the_environment_of_the_build_does_not_count(folders: tuple[Path, Path]) -> None:
    for folder, text in zip(folders, ("installed = a", "installed = b"), strict=True):
        write_package(folder, "hello", {".BUILDINFO": text, **FILES})
    one, other = (next(folder.iterdir()) for folder in folders)
    assert one.read_bytes() != other.read_bytes()
    assert payload_digest(one) == payload_digest(other)
    assert ".BUILDINFO" not in payload(one)
    assert differences(CONFIG, *folders) == []


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({**FILES, "bin/hello": "hullo"}, "bin/hello differs"),
        ({"bin/": "", "bin/hello": "hello", "bin/hi -> hullo": ""}, "bin/hi differs"),
        ({"bin/": "", "bin/hello": "hello"}, "bin/hi is only in the first build"),
        ({**FILES, "bin/more": ""}, "bin/more is only in the second build"),
    ],
)
def test_the_member_that_differs_is_named_and_then_the_listing(
    folders: tuple[Path, Path], files: dict[str, str], line: str
) -> None:
    write_package(folders[0], "hello", listed(FILES))
    write_package(folders[1], "hello", listed(files))
    file = "hello-1-1-x86_64.pkg.tar.zst"
    assert differences(CONFIG, *folders)[:2] == [f"{file}: {line}", f"{file}: .MTREE differs"]


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({**listed(FILES), **listed({})}, ".MTREE differs"),
        (dict(reversed(listed(FILES).items())), "the order of the members differs"),
    ],
)
def test_a_difference_of_the_listing_or_the_order_alone_is_named(
    folders: tuple[Path, Path], files: dict[str, str], line: str
) -> None:
    write_package(folders[0], "hello", listed(FILES))
    write_package(folders[1], "hello", files)
    assert differences(CONFIG, *folders)[0] == f"hello-1-1-x86_64.pkg.tar.zst: {line}"


@pytest.mark.parametrize(
    ("header", "counts"),
    [
        ("SCHILY.xattr.security.capability", True),
        ("LIBARCHIVE.xattr.security.capability", True),
        ("SCHILY.acl.access", True),
        ("SCHILY.xattr.security.selinux", False),
        ("atime", False),
    ],
)
def test_attributes_count_but_not_what_the_host_adds(folders: tuple[Path, Path], header: str, counts: bool) -> None:
    write_package(folders[0], "hello", FILES)
    write_package(folders[1], "hello", FILES, headers={"bin/hello": {header: "1.5"}})
    assert ("hello-1-1-x86_64.pkg.tar.zst: bin/hello differs" in differences(CONFIG, *folders)) == counts


def test_hashes_that_are_in_print_stay(tmp_path: Path) -> None:
    file = write_package(tmp_path, "hello", {**FILES, "share/" + "long/" * 30: ""})
    assert payload_digest(file) == "7f414afc5e18f5f26193576efbc3f0f471925964db186dea22d47886bef583e9"


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    file = write_package(tmp_path, "hello", {"bin/hello": "hello", "bin/hello -> hi": ""})
    with pytest.raises(PackageError, match="bin/hello is in the package twice"):
        payload(file)


def test_a_package_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    # zstd's first block of 128 KiB ends with the first file, so that a cut in the second leaves a whole archive.
    files = {"first": "x" * ((128 << 10) - 3 * 512), "second": "".join(map(str, range(100_000)))}
    file = write_package(tmp_path, "hello", files)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(PackageError, match="cannot unpack it to its end"):
        payload(file)
    assert package_info(file)["pkgname"] == ["hello"], "the front can be read all the same"


def test_of_the_listing_only_the_line_of_the_environment_is_left_out(tmp_path: Path) -> None:
    listing = b"#mtree\n./.BUILDINFO time=1.0 size=%d\n./bin/hello time=%d.0\n"

    def digest(size: int, time: int) -> str:
        files = {".MTREE": gzip.compress(listing % (size, time), mtime=0), "bin/hello": "hello"}
        return payload_digest(write_package(tmp_path / f"{size}-{time}", "hello", files))

    assert digest(1, 5) == digest(2, 5)
    assert digest(1, 5) != digest(1, 6)


def test_a_package_that_only_one_build_made_is_named(folders: tuple[Path, Path]) -> None:
    write_package(folders[0], "hello", FILES)
    write_package(folders[0], "hello-libs", FILES)
    write_package(folders[1], "hello", FILES)
    assert differences(CONFIG, *folders) == ["hello-libs-1-1-x86_64.pkg.tar.zst: only in the first build"]


def test_without_diffoscope_the_answer_says_so(folders: tuple[Path, Path]) -> None:
    write_package(folders[0], "hello", FILES)
    write_package(folders[1], "hello", {**FILES, "bin/hello": "hullo"})
    assert differences(CONFIG, *folders)[-1] == "(with diffoscope on this host, its report would stand here)"


@pytest.mark.containers
@pytest.mark.parametrize(
    ("script", "report"),
    [
        ("echo --- one; echo +++ other; exit 1", ["--- one", "+++ other"]),
        ("echo no readelf >&2; exit 2", ["(diffoscope failed: status 2)", "no readelf"]),
        ("cat /etc/hostname $HOME/.ssh/id 2> /dev/null; id -u; exit 1", ["1000"]),
    ],
)
def test_what_diffoscope_says_in_its_sandbox_is_part_of_the_answer(
    room: Config, monkeypatch: pytest.MonkeyPatch, script: str, report: list[str]
) -> None:
    program = room.checkout / "bin/diffoscope"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\ntest -f /first/hello-1-1-x86_64.pkg.tar.zst || exit 3\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name, path: str(program))
    # In place of the one that a host may have.
    recipe = room.recipes / "host.conf"
    line = f"lxc.mount.entry = {program.parent} usr/local/bin none bind,ro 0 0\n"
    recipe.write_text((CHECKOUT / "recipes/host.conf").read_text() + line)
    folders = room.checkout / "1", room.checkout / "2"
    write_package(folders[0], "hello", FILES)
    write_package(folders[1], "hello", {**FILES, "bin/hello": "hullo"})
    found = differences(room, *folders)
    assert found[0] == "hello-1-1-x86_64.pkg.tar.zst: bin/hello differs" and found[1:] == report


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "hello-1-1-x86_64.pkg.tar.zst"
    file.write_text("no archive")
    with pytest.raises(PackageError, match="is not a package"):
        payload(file)
