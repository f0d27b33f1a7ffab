"""Debian's index: which archive, which entries, which file."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mere_helpers.config import Config
from mere_helpers.errors import SourceError
from mere_helpers.fetching.apt_entries import deb822_entries, machine_archives
from mere_helpers.fetching.debian import DebianFile, DebianMirror, parse_uris
from mere_helpers.fetching.patience import Limits

PIN = "a" * 64
DEB822 = """\
Types: deb
# http://snapshot.example/debian
URIs: http://archive.example/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://archive.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://other.example/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/other.gpg
"""


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    parts = tmp_path / "etc/apt/sources.list.d"
    parts.mkdir(parents=True)
    return parts.parent


@pytest.fixture
def apt(tmp_path: Path, etc: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that stand in for apt, log their arguments and answer from files; returns their folder."""
    keyring = tmp_path / "debian-archive-keyring.gpg"
    keyring.touch()
    (etc / "sources.list").write_text(f"deb [signed-by={keyring}] http://archive.example/debian sid main\n")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("apt-get", "apt-cache"):
        (programs / name).write_text(
            "#!/bin/sh\n"
            f'here={programs}; echo "${{0##*/}} $*" >> $here/calls\n'
            'case "$*" in\n'
            "  *update*) [ -e $here/slow ] && { touch $here/began; sleep 60; }\n"
            "            [ -e $here/down ] && { echo 'E: no route' >&2; exit 100; }\n"
            f"            touch {tmp_path}/store/apt/lists/x_Sources\n"
            f"            cd {tmp_path}/store/apt/packages/lists 2>/dev/null && touch x_Packages;;\n"
            "  *dumpavail*) echo 'Package: m4';;\n"
            "  *showsrc*) cat $here/showsrc;;\n"
            '  *source*) for word; do :; done; cat "$here/uris-$word" 2>/dev/null || exit 100;;\n'
            "esac\n"
        )
        (programs / name).chmod(0o755)
    (programs / "showsrc").write_text("")
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(
        "mere_helpers.fetching.debian.clean_environment", lambda **extra: {"PATH": f"{programs}:/usr/bin:/bin"} | extra
    )
    return programs


def mirror(tmp_path: Path, etc: Path, **settings: bool) -> DebianMirror:
    return DebianMirror(Config(checkout=tmp_path, store=tmp_path / "store", sources=tmp_path, **settings), etc=etc)


def updates(programs: Path) -> int:
    return (programs / "calls").read_text().count("update")


def uri(name: str, sha256: str = PIN) -> str:
    return f"'http://archive.example/debian/pool/m/{name}' {name} 42 SHA256:{sha256}\n"


def test_deb822_entries_of_other_publishers_and_disabled_ones_are_left_out(etc: Path) -> None:
    (etc / "sources.list.d/debian.sources").write_text(DEB822)
    main, security = machine_archives(etc)
    assert (main.address, main.security) == ("http://archive.example/debian", False)
    assert (security.address, security.security) == ("http://archive.example/debian-security", True)


def test_one_line_entries(etc: Path) -> None:
    (etc / "sources.list").write_text(
        "# deb http://commented.example/debian trixie main\n"
        "deb cdrom:[Debian]/ trixie main\n"
        "deb http://vendor.example/apt stable main\n"
        "deb [arch=amd64 signed-by=/k/debian-archive-keyring.gpg] http://a.example/debian trixie main non-free # note\n"
        "deb http://tools.example/linux/debian trixie tools\n"
    )
    assert [archive.address for archive in machine_archives(etc)] == [
        "http://a.example/debian",
        "http://vendor.example/apt",
    ]


def test_security_suites_need_a_security_archive(etc: Path) -> None:
    (etc / "sources.list.d/debian.sources").write_text(DEB822)
    both = machine_archives(etc)
    text = deb822_entries(both)
    assert "URIs: http://archive.example/debian-security\nSuites: trixie-security\n" in text
    assert "Types: deb\n" not in text
    assert "-security" not in deb822_entries(both[:1])


def test_parse_uris_keeps_only_files_with_a_sha256() -> None:
    text = "NOTICE: hello\n" + uri("m4.tar.xz") + "'http://a.example/x' x 1 MD5Sum:abc\n"
    (file,) = parse_uris(text)
    assert (file.name, file.size, file.sha256) == ("m4.tar.xz", 42, PIN)


def test_lookup_by_sha256_and_private_state(tmp_path: Path, etc: Path, apt: Path) -> None:
    (apt / "uris-m4=1").write_text(uri("m4.dsc", "b" * 64) + uri("m4.tar.xz"))
    debian = mirror(tmp_path, etc)
    assert debian.lookup("m4=1", PIN).name == "m4.tar.xz"
    assert debian.lookup("m4=1", "b" * 64).name == "m4.dsc"
    assert mirror(tmp_path, etc).lookup("m4=1", PIN)
    assert updates(apt) == 1, "a fresh index is not fetched again"
    conf = (tmp_path / "store/apt/apt.conf").read_text()
    assert f'Dir::State "{tmp_path}/store/apt"' in conf and 'APT::Sandbox::User ""' in conf
    assert all("-c " in line for line in (apt / "calls").read_text().splitlines())


def test_another_version_with_the_same_file_will_do(tmp_path: Path, etc: Path, apt: Path) -> None:
    (apt / "showsrc").write_text(
        f"Package: m4\nVersion: 2-1\nChecksums-Sha256:\n {'c' * 64} 42 m4.tar.xz\n\n"
        f"Package: m4\nVersion: 1-2\nChecksums-Sha256:\n {PIN} 42 m4.tar.xz\n"
    )
    (apt / "uris-m4=1-2").write_text(uri("m4.tar.xz"))
    assert mirror(tmp_path, etc).lookup("m4=1-1", PIN).name == "m4.tar.xz"


def test_an_old_index_is_fetched_again_and_a_missing_version_asks_once(tmp_path: Path, etc: Path, apt: Path) -> None:
    (apt / "uris-m4=1").write_text(uri("m4.tar.xz"))
    mirror(tmp_path, etc).lookup("m4=1", PIN)
    (stamp,) = (tmp_path / "store/apt").glob("updated-*")
    os.utime(stamp, (time.time() - 7200,) * 2)
    debian = mirror(tmp_path, etc)
    debian.lookup("m4=1", PIN)
    assert updates(apt) == 1
    for _ in range(2):
        with pytest.raises(SourceError, match="not in the index"):
            debian.lookup("m4=9", PIN)
    assert updates(apt) == 2


def test_an_archive_that_does_not_answer(tmp_path: Path, etc: Path, apt: Path) -> None:
    (apt / "down").touch()
    with pytest.raises(SourceError, match="no index: no route"):
        mirror(tmp_path, etc).lookup("m4=1", PIN)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_apt_is_ended_and_nobody_waits_for_the_index(tmp_path: Path, etc: Path, apt: Path) -> None:
    (apt / "slow").touch()
    debian = mirror(tmp_path, etc)
    # The second waits for the lock of the first, and so does another run.
    other = DebianMirror(debian.config, etc=etc, stop=debian.stop)
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(each.lookup, "m4=1", PIN) for each in (debian, debian, other)]
        until((apt / "began").exists)
        began = time.monotonic()
        debian.stop.set()
        assert [str(future.exception()) for future in waiting] == ["interrupted"] * 3
    assert time.monotonic() - began < 5
    assert not list((tmp_path / "store/apt").glob("updated-*")), "half an index is none"


def test_a_download_tells_how_far_it_is_and_can_be_stopped(
    tmp_path: Path, etc: Path, apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper, target = tmp_path / "apt-helper", tmp_path / "m4.tar.xz"
    # The other process stands for those which apt starts for the connections.
    helper.write_text(
        f'#!/bin/sh\nfor target; do :; done; printf 12345 > "$target"\nsleep 60 & echo $! > {apt}/pid; wait\n'
    )
    helper.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name, **_: str(helper))
    debian = mirror(tmp_path, etc)
    heard = []

    def watch(done: int, total: int | None) -> None:
        heard.append((done, total))
        if done:
            debian.stop.set()

    began = time.monotonic()
    with pytest.raises(SourceError, match="interrupted"):
        debian.download(DebianFile("http://archive.example/m4", "m4.tar.xz", 42, PIN), target, watch)
    assert heard[-1] == (5, 42) and time.monotonic() - began < 5
    other = Path("/proc", (apt / "pid").read_text().strip(), "cmdline")
    until(lambda: not other.exists() or not other.read_bytes())


@pytest.mark.parametrize(
    ("sends", "reason"),
    [
        ("head -c 9999 /dev/zero; exec sleep 60", "more than the 42 bytes of the index"),
        ("printf 1; exec sleep 60", "slower than 1,000 bytes/s over 0.5 s"),
    ],
    ids=["endless", "dripping"],
)
def test_a_download_has_limits(
    tmp_path: Path, etc: Path, apt: Path, monkeypatch: pytest.MonkeyPatch, sends: str, reason: str
) -> None:
    helper, target = tmp_path / "apt-helper", tmp_path / "m4.tar.xz"
    helper.write_text(f'#!/bin/sh\nfor target; do :; done\nexec > "$target"\necho $$ > {apt}/pid\n{sends}\n')
    helper.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name, **_: str(helper))
    config = Config(checkout=tmp_path, store=tmp_path / "store", sources=tmp_path)
    debian = DebianMirror(config, etc=etc, limits=Limits(rate=1000, window=0.5))
    with pytest.raises(SourceError, match=reason):
        debian.download(DebianFile("http://archive.example/m4", "m4.tar.xz", 42, PIN), target)
    process = Path("/proc", (apt / "pid").read_text().strip(), "cmdline")
    until(lambda: not process.exists() or not process.read_bytes())


def test_only_we_can_read_where_apt_looks(tmp_path: Path, etc: Path, apt: Path) -> None:
    """An address may hold a password."""
    (apt / "uris-m4=1").write_text(uri("m4.tar.xz"))
    mirror(tmp_path, etc).lookup("m4=1", PIN)
    assert stat.S_IMODE((tmp_path / "store/apt/mere.sources").stat().st_mode) == 0o600


def test_why_it_is_not_available(tmp_path: Path, etc: Path, apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mirror(tmp_path, etc).unavailable == ""
    assert mirror(tmp_path, etc, offline=True).unavailable == "offline"
    (etc / "sources.list").write_text("deb http://u.example/ubuntu noble main\n")
    with pytest.raises(SourceError, match="name no Debian archive"):
        mirror(tmp_path, etc).lookup("m4=1", PIN)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert mirror(tmp_path, etc).unavailable == "this host has no apt"


def test_the_index_of_packages_is_kept_apart_from_that_of_sources(tmp_path: Path, etc: Path, apt: Path) -> None:
    config = Config(checkout=tmp_path, store=tmp_path / "store", sources=tmp_path)
    packages = DebianMirror(config, etc=etc, kind="deb", suites=("trixie",))
    assert [packages.ask("apt-cache", "dumpavail") for _ in range(2)] == ["Package: m4\n"] * 2
    assert updates(apt) == 1
    entries = (tmp_path / "store/apt/packages/mere.sources").read_text()
    assert entries.startswith("Types: deb\n") and entries.count("Suites: ") == 1 and "Suites: trixie\n" in entries
    assert not (tmp_path / "store/apt/mere.sources").exists()


def test_without_an_index_nothing_is_answered(tmp_path: Path, etc: Path, apt: Path) -> None:
    (apt / "down").touch()
    with pytest.raises(SourceError, match="no index: no route"):
        mirror(tmp_path, etc).ask("apt-cache", "dumpavail")


def test_state_is_not_for_others_to_write(tmp_path: Path, etc: Path, apt: Path) -> None:
    (apt / "uris-m4=1").write_text(uri("m4.tar.xz"))
    mirror(tmp_path, etc).lookup("m4=1", PIN)
    assert not stat.S_IMODE((tmp_path / "store/apt").stat().st_mode) & 0o002
