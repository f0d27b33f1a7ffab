"""Debian's packages, read as data: which are looked at, what they bring, and what is recorded of it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mere_helpers.config import Config, load_config
from mere_helpers.errors import RecipeError, SourceError
from mere_helpers.press import debian_packages as usual
from mere_helpers.press.debian_packages import SUBJECTS, UsualPackage, changes, found, recorded, update

from .apt import Apt

INDEX = """\
Package: gawk
Architecture: amd64
Section: interpreters
Version: 1:5-1

Package: gawk-doc
Source: gawk
Architecture: all
Section: doc
Version: 1:5-1

Package: locate
Source: findutils (4.10)
Architecture: amd64
Section: utils
Version: 4-1+b1

Package: inetutils-syslogd
Source: inetutils
Architecture: amd64
Section: net
Version: 2-1

Package: gzip
Architecture: i386
Section: utils
Version: 1-1

Package: zlib1g
Source: zlib
Architecture: amd64
Section: libs
Version: 1-1
"""

FILES = {
    "gawk": {"usr/bin/gawk": "12345", "usr/share/man": "123"},
    "locate": {"usr/bin/locate.findutils": "12", "usr/sbin/updatedb.findutils -> x": ""},
    "inetutils-syslogd": {"usr/share/doc": "only this"},
}

ONE = UsualPackage("sed", "sed", "4-1", "a" * 64, 100, 50, ("sed",))


class Archive:
    """Stands in for Debian: an index, and packages made by dpkg-deb, in a folder that is asked as a mirror."""

    def __init__(self, folder: Path) -> None:
        self.packages = {name: _deb(folder / name, files) for name, files in FILES.items()}

    def index(self) -> str:
        stanzas = []
        for stanza in INDEX.split("\n\n"):
            name = stanza.split()[1]
            data = self.packages[name].read_bytes() if name in self.packages else b""
            stanzas.append(f"{stanza}\nFilename: pool/{name}.deb\nSHA256: {hashlib.sha256(data).hexdigest()}")
        return "\n\n".join(stanzas)


def _deb(folder: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        name, _, target = path.partition(" -> ")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if target:
            (folder / name).symlink_to(target)
        else:
            (folder / name).write_text(text)
    (folder / "DEBIAN").mkdir()
    (folder / "DEBIAN/control").write_text(
        f"Package: {folder.name}\nVersion: 1\nArchitecture: all\nMaintainer: n\nDescription: n\n"
    )
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", folder, f"{folder}.deb"], capture_output=True, check=True)
    return Path(f"{folder}.deb")


@pytest.fixture
def archive(tmp_path: Path, apt: Apt) -> Archive:
    """apt's index is that of the archive, and Debian's address is the archive's folder."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("no dpkg-deb on this host")
    made = Archive(tmp_path / "archive")
    pool = tmp_path / "debian/pool/main"
    for name, subject in {"gawk": "gawk", "locate": "findutils", "inetutils-syslogd": "inetutils"}.items():
        (pool / subject[0] / subject).mkdir(parents=True)
        shutil.copy(made.packages[name], pool / subject[0] / subject / f"{name}.deb")
    apt.answer("apt-cache", made.index())
    return made


@pytest.fixture
def debian(tmp_path: Path, apt: Apt, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The archive on the web."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        apt.knows(f"http://127.0.0.1:{server.server_port}/debian")
        yield
        server.shutdown()


@pytest.mark.usefixtures("debian")
def test_packages_of_the_subjects_are_read(config: Config) -> None:
    locate, gawk = found(config)
    assert (gawk.subject, gawk.version, gawk.installed, gawk.programs) == ("gawk", "1:5-1", 8, 5)
    assert gawk.commands == ("awk", "gawk"), "upstream's link is none of Debian's package"
    assert (locate.subject, locate.programs) == ("findutils", 2)
    assert locate.commands == ("locate", "updatedb"), "without Debian's mark, and links count"


def test_the_one_syslogd_counts_as_sysklogd(archive: Archive) -> None:
    candidates = usual._candidates(archive.index())
    assert [name for _, name, _ in candidates.values()] == ["gawk", "locate", "inetutils-syslogd"]
    assert ("sysklogd", "inetutils-syslogd", "2-1") in candidates.values()


@pytest.mark.parametrize(
    ("name", "command"),
    [("inetutils-telnet", "telnet"), ("rename.ul", "rename"), ("rmt-tar", "rmt"), ("fsck.minix", "fsck.minix")],
)
def test_marks_are_taken_off(name: str, command: str) -> None:
    assert usual._MARK.sub("", name) == command


@pytest.mark.usefixtures("debian")
def test_a_package_that_is_not_what_the_index_says_is_refused(config: Config, tmp_path: Path) -> None:
    (tmp_path / "debian/pool/main/g/gawk/gawk.deb").write_text("something else")
    with pytest.raises(SourceError, match=r"(?s)no good copy of gawk\.deb.*differs from the pin"):
        found(config)


@pytest.mark.usefixtures("debian")
def test_without_a_signed_index_nothing_is_read(config: Config, apt: Apt) -> None:
    apt.answer("apt-cache", "")
    with pytest.raises(SourceError, match="no index"):
        found(config)


def test_what_is_written_is_read(config: Config) -> None:
    (config.checkout / "book").mkdir()
    many = replace(ONE, name="many", commands=("[", *(f"command-{number}" for number in range(99))))
    update(config, [ONE, many])
    assert recorded(config) == (ONE, many)
    assert max(map(len, (config.checkout / "book/usual-packages.toml").read_text().splitlines())) <= 120


def test_a_record_that_cannot_be_read(config: Config) -> None:
    with pytest.raises(RecipeError, match=r"cannot read book/usual-packages\.toml"):
        recorded(config)


def test_changes_are_named() -> None:
    newer = replace(ONE, version="4-2", sha256="b" * 64)
    assert changes([ONE], [ONE]) == []
    assert changes([ONE], [newer]) == ["sed 4-1, now 4-2: another version, sha256"]
    assert changes([ONE], [replace(ONE, name="other")]) == ["other: only in the archive", "sed: only in the file"]


def test_every_subject_is_recorded_with_pins() -> None:
    packages = recorded(load_config())
    assert {package.subject for package in packages} == set(SUBJECTS)
    assert all(len(package.sha256) == 64 and package.commands for package in packages)


@pytest.mark.slow
def test_what_is_recorded_is_what_the_archive_has(tmp_path: Path) -> None:
    """Of those packages which Debian has not replaced since; a host that cannot ask Debian skips this."""
    config = load_config()
    try:
        now = {(package.name, package.version): package for package in found(replace(config, store=tmp_path))}
    except SourceError as error:
        pytest.skip(f"Debian cannot be asked: {error}")
    same = [package for package in recorded(config) if (package.name, package.version) in now]
    assert same == [now[package.name, package.version] for package in same]
