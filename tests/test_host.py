"""The host's checks: real ones on this machine, and fakes for what it does not lack."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mere_helpers.config import Config
from mere_helpers.containers.idmap import id_range
from mere_helpers.errors import HostError, StoreError
from mere_helpers.machine import host_checks
from mere_helpers.machine.distribution import family, install_command
from mere_helpers.machine.host import PRIVATE, check_host, first_closed, open_path
from mere_helpers.machine.host_checks import CHECKS, Check, Host


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(checkout=tmp_path, store=tmp_path / "store", sources=tmp_path / "store/sources")


@pytest.fixture
def host(config: Config, tmp_path: Path) -> Host:
    """A host with files of its own for /etc and /proc."""
    for folder in ("etc", "proc/sys/user", "proc/sys/kernel"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/os-release").write_text('ID=ubuntu\nID_LIKE="debian"\n')
    (tmp_path / "proc/meminfo").write_text("MemTotal:       16000000 kB\n")
    return Host(config, etc=tmp_path / "etc", proc=tmp_path / "proc")


@pytest.mark.parametrize(
    ("text", "expected", "command"),
    [
        ("ID=debian\n", "debian", "apt-get install -y --no-install-recommends uidmap xz-utils"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "debian", "apt-get install"),
        ("ID=fedora\n", "fedora", "dnf install -y shadow-utils xz"),
        ("ID=arch\n", "arch", "pacman -S --needed shadow xz"),
        ("ID=alpine\n", "alpine", "apk add shadow-subids xz"),
        ("ID=plan9\n", "", "install what your distribution calls: uidmap xz-utils"),
        ("'", "", "install what"),
    ],
)
def test_each_distribution_has_its_command(tmp_path: Path, text: str, expected: str, command: str) -> None:
    (tmp_path / "os-release").write_text(text)
    assert family(tmp_path) == expected
    assert command in install_command(["uidmap", "xz-utils"], tmp_path)


def test_no_os_release(tmp_path: Path) -> None:
    assert family(tmp_path) == ""


def test_the_table_of_a_good_host_has_nothing_of_this_host_in_it(config: Config) -> None:
    table = check_host(config, checks={"something": lambda host: Check()})
    assert table.rows == (("something", "ok"),)


def test_every_failure_is_listed_with_its_command(config: Config) -> None:
    with pytest.raises(HostError) as caught:
        check_host(
            config,
            checks={
                "one": lambda host: Check("is gone", "bring it\nback"),
                "two": lambda host: Check(),
                "three": lambda host: Check("is old", "renew it"),
            },
        )
    assert str(caught.value).splitlines() == [
        "this host is not ready: 2 of 3 checks failed",
        "  one: is gone",
        "      bring it",
        "      back",
        "  three: is old",
        "      renew it",
        "hint: run the indented commands from top to bottom, then check again",
    ]


def test_missing_programs_make_one_command(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    check = host_checks.programs(host)
    assert "xz" in check.problem and "m4" in check.problem
    assert "apt-get install" in check.mend and "xz-utils" in check.mend
    assert "zstd" in check.problem and "zstd" in check.mend and "setpriv" in check.problem
    assert host_checks.lxc(host).problem == "no lxc-execute"
    assert host_checks.id_mappers(host).problem == "no newuidmap"
    assert "g++" in CHECKS["g++ with a static C++ library"](host).mend
    assert "util-linux" in host_checks.user_namespaces(host).mend or not host_checks.user_namespaces(host).problem


def stand_in(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_a_setpriv_that_is_busyboxs(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert host_checks.programs(host) == Check()
    stand_in(tmp_path / "bin", "setpriv", "echo \"setpriv: unrecognized option '$1'\" >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(host_checks, "clean_environment", lambda: dict(os.environ))
    (host.etc / "os-release").write_text("ID=alpine\n")
    check = host_checks.programs(host)
    assert check.problem == "setpriv: unrecognized option '--pdeathsig'"
    assert check.mend.endswith("apk add setpriv util-linux-misc")


def test_an_old_lxc(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lxc-execute", "lxc-usernsexec", "lxc-stop"):
        stand_in(tmp_path / "bin", name, "echo 4.0.12")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    assert host_checks.lxc(host).problem == "this is 4.0.12"


def test_no_static_library(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path / "bin", "gcc", "echo 'ld: cannot find -lc' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(host_checks, "clean_environment", lambda: dict(os.environ))
    check = CHECKS["gcc with a static C library"](host)
    assert check.problem == "gcc cannot link a static program: ld: cannot find -lc"
    assert "libc6-dev" in check.mend


@pytest.mark.parametrize(
    ("setting", "value", "mend"),
    [
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=65536"),
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
    ],
)
def test_the_setting_that_forbids_namespaces(
    host: Host, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, mend: str
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(host_checks, "_try", lambda *_, **__: "unshare: Operation not permitted")
    (host.proc / "sys" / setting).write_text(f"{value}\n")
    for check in (host_checks.user_namespaces, host_checks.networkless, host_checks.overlay):
        assert mend in check(host).mend and "tee /etc/sysctl.d/60-mere.conf" in check(host).mend
    (host.proc / "sys" / setting).unlink()
    assert "CONFIG_USER_NS" in host_checks.user_namespaces(host).mend


def test_no_id_range(host: Host) -> None:
    check = host_checks.id_ranges(host)
    assert "no range of 65536 ids" in check.problem and "subuid" in check.mend


def test_a_newuidmap_without_its_bit(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("newuidmap", "newgidmap"):
        stand_in(tmp_path / "bin", name, ":")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert f"chmod u+s {tmp_path}/bin/newuidmap" in host_checks.id_mappers(host).mend


def test_disk_memory_machine_and_kernel(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 40, 1 << 40, 5 << 30))
    assert "5.0 of 15 GiB free" in host_checks.disk(host).problem
    (host.config.store / "entries").mkdir(parents=True)
    assert host_checks.disk(host) == Check(), "a later run needs less"
    assert host_checks.memory(host) == Check()
    (host.proc / "meminfo").write_text("MemTotal: 2000000 kB\n")
    assert host_checks.memory(host).problem == "1.9 GiB"
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("platform.release", lambda: "5.10.0-28-amd64")
    assert host_checks.machine(host).problem == "this is aarch64"
    assert host_checks.kernel(host).problem == "this is 5.10.0-28-amd64"


def test_a_store_that_cannot_be_written(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    check = host_checks.overlay(Host(config))
    assert check.problem.endswith("Permission denied") and "MERE_STORE" in check.mend


pytest_plugins = ("tests.rooms",)

needs_ids = pytest.mark.skipif(
    bool(host_checks.id_ranges(Host(Config(Path("/"), Path("/"), Path("/")))).problem)
    or shutil.which("lxc-usernsexec") is None
    or shutil.which("setfacl") is None,
    reason="this host has no range of ids for us, no LXC or no setfacl",
)


@needs_ids
@pytest.mark.containers
def test_open_path_opens_what_is_ours(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o700)
    config = Config(checkout=tmp_path, store=home / "cache/store", sources=home / "cache/store/sources")
    assert first_closed(config, config.store) is not None
    changed = open_path(config)
    assert home in changed and config.store not in changed
    assert config.sources.is_dir()
    assert first_closed(config, config.sources) is None
    assert open_path(config) == []
    others = subprocess.run(["stat", "-c", "%A", home], capture_output=True, text=True, check=True).stdout.strip()
    assert others.rstrip("+").endswith("---"), "nobody else gained anything"


@needs_ids
@pytest.mark.containers
@pytest.mark.parametrize("earlier", [False, True])
def test_no_other_user_of_this_machine_gets_to_containers_and_layers(room: Config, earlier: bool) -> None:
    config = replace(room, store=room.store.with_name(f"store-{earlier}"))
    if earlier:
        (config.store / "containers").mkdir(parents=True)
        (config.store / "containers/lock").touch()
        (config.store / "containers").chmod(0o755)
    assert open_path(config) == [] == open_path(config)
    for name in PRIVATE:
        folder = config.store / name
        owner, other = os.stat(folder).st_uid, 4_000_000_000
        assert owner == os.getuid() and os.stat(folder).st_mode & 0o007 == 0
        assert first_closed(config, folder) is None
        acl = subprocess.run(["getfacl", "-ncp", folder], capture_output=True, text=True, check=True).stdout.split()
        assert [line for line in acl if line.startswith("user:")] == ["user::rwx", f"user:{id_range(config).uid}:--x"]
        if os.getuid() == 0:
            command = ["setpriv", f"--reuid={other}", f"--regid={other}", "--clear-groups", "test", "-x", str(folder)]
            assert subprocess.run(command).returncode == 1


def test_a_store_in_a_directory_of_somebody_is_told_by_the_check_and_not_opened(config: Config) -> None:
    config.store.mkdir()
    (config.store / "letter").touch()
    with pytest.raises(HostError, match=r"it holds other things \(letter\)\n +export MERE_STORE="):
        check_host(config)
    with pytest.raises(StoreError, match="letter"):
        open_path(config)
    assert [path.name for path in config.store.iterdir()] == ["letter"]


@needs_ids
@pytest.mark.containers
def test_a_closed_folder_is_named_with_its_command(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    config = Config(checkout=tmp_path, store=home / "store", sources=home / "store/sources")
    open_path(config)
    home.chmod(0o700)
    with pytest.raises(HostError, match=r"a way for containers.*\n +setfacl -m u:\d+:--x .*/home"):
        check_host(config)


@needs_ids
@pytest.mark.containers
def test_this_host_is_ready(tmp_path: Path) -> None:
    config = Config(checkout=tmp_path, store=tmp_path / "store", sources=tmp_path / "store/sources")
    open_path(config)
    table = check_host(config)
    assert {row[1] for row in table.rows} == {"ok"}
    assert len(table.rows) == len(CHECKS) + 1
