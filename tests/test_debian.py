"""Debian's archive: what apt says of it, and where a file is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mere_helpers.fetching.debian import ask_apt, pool_paths
from mere_helpers.planning.recipe import Source

from .apt import Apt

MAIN = "http://archive.example/debian"


def source(name: str) -> Source:
    return Source(name=name, url=None, sha256="a" * 64, debian=(), recipe="packages/tool")


def test_the_archives_are_those_that_apt_would_ask(apt: Apt) -> None:
    apt.knows(MAIN, "http://archive.example/debian-security/")
    debian = ask_apt()
    assert debian.archives == (MAIN, "http://archive.example/debian-security")
    assert debian.pools == (f"{MAIN}/pool/main", "http://archive.example/debian-security/pool/updates/main")
    assert (debian.proxies, debian.problem) == (None, "")


def test_other_publishers_are_left_out_and_likely_ones_come_first(apt: Apt) -> None:
    apt.answer(
        "apt-get",
        "'http://vendor.example/apt/dists/stable/main/binary-amd64/Packages.xz' x 0\n"
        "'http://tools.example/debian/dists/trixie/tools/binary-amd64/Packages.xz' x 0\n"
        "'http://u.example/ubuntu/dists/noble/main/binary-amd64/Packages.xz' x 0\n"
        "'cdrom:[Debian]/dists/trixie/main/binary-amd64/Packages.xz' x 0\n"
        f"'{MAIN}/dists/trixie-updates/main/binary-amd64/Packages.xz' x 0\n",
    )
    assert ask_apt().archives == (MAIN, "http://vendor.example/apt")


def test_a_list_of_mirrors_is_read(tmp_path: Path, apt: Apt) -> None:
    (tmp_path / "list").write_text(f"# ours\n{MAIN}/\tpriority:1\n\nhttps://other.example/debian\n")
    apt.knows(f"mirror+file:{tmp_path}/list")
    assert ask_apt().archives == (MAIN, "https://other.example/debian")


@pytest.mark.parametrize(
    ("settings", "proxies"),
    [
        ("Acquire::http::Proxy http://p.example:1\n", {"http": "http://p.example:1", "https": "http://p.example:1"}),
        ("Acquire::http::Proxy DIRECT\n", {}),
        ("Acquire::http::Proxy \nAcquire::http::Proxy::other.example http://p.example:1\n", None),
        ("Acquire::https::Proxy http://p.example:1\n", None),
    ],
)
def test_apts_own_proxy_is_used(apt: Apt, settings: str, proxies: dict[str, str] | None) -> None:
    apt.knows(MAIN)
    apt.answer("apt-config", settings)
    assert ask_apt().proxies == proxies


def test_why_debian_cannot_be_asked(tmp_path: Path, apt: Apt, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask_apt().problem == "the apt entries of this host name no Debian archive"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_apt().problem == "this host has no apt"


@pytest.mark.parametrize(
    ("name", "package", "paths"),
    [
        ("m4-1.4.19.tar.xz", "m4=1.4.19-8", ["m/m4/m4_1.4.19.orig.tar.xz", "m/m4/m4-1.4.19.tar.xz"]),
        ("zlib_1.3.orig.tar.gz", "zlib=1:1.3-1+deb13u1", ["z/zlib/zlib_1.3.orig.tar.gz"]),
        ("libx-1.2-3.tar.gz", "libx=2:1.2-3-1", ["libx/libx/libx_1.2-3.orig.tar.gz", "libx/libx/libx-1.2-3.tar.gz"]),
        ("readline-8.2.tar.gz", "bash=5.2.37-2", ["b/bash/readline-8.2.tar.gz"]),
        ("locate_4.10_amd64.deb", "findutils=4.10-3", ["f/findutils/locate_4.10_amd64.deb"]),
        ("ca_2023+deb12u1.tar.xz", "ca=2023+deb12u1", ["c/ca/ca_2023+deb12u1.tar.xz"]),
    ],
)
def test_the_path_of_a_file_is_computed(name: str, package: str, paths: list[str]) -> None:
    assert pool_paths(source(name), package) == paths
