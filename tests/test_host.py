"""The host's checks: real ones on this machine, and fakes for what it does not lack."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from mere_helpers.config import Config
from mere_helpers.errors import HostError, StoreError
from mere_helpers.host import checks as host_checks
from mere_helpers.host.checks import CHECKS, Host, Problem
from mere_helpers.host.prepare import PRIVATE, check_host, first_closed, open_path
from mere_helpers.host.requirements import family, install_command, requirements
from mere_helpers.sandbox.idmap import id_range

CHECKOUT = Path(__file__).parents[1]


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
    assert command in install_command(["has newuidmap", "has newgidmap", "has xz"], tmp_path)


@pytest.mark.parametrize(
    ("name", "title"), [("debian", "Debian, Ubuntu"), ("fedora", "Fedora"), ("arch", "Arch"), ("alpine", "Alpine")]
)
def test_the_readme_names_the_packages_of_the_one_table(name: str, title: str) -> None:
    (row,) = re.findall(rf"^\| {title} \| `(.*)` \|$", (CHECKOUT / "README.md").read_text(), re.MULTILINE)
    assert row.split() == list(dict.fromkeys(r[name] for p, r in requirements().items() if not p.startswith("tests ")))


def test_every_probe_is_a_command_of_setup_sh() -> None:
    text = (CHECKOUT / "mere_helpers/host/setup.sh").read_text()
    for probe in requirements():
        command = probe.removeprefix("tests ").split()[0]
        assert command == "setpriv" or f"\n{command}() {{" in text


def test_no_os_release(tmp_path: Path) -> None:
    assert family(tmp_path) == ""


def test_a_good_host_has_passed_each_check(config: Config) -> None:
    assert check_host(config, checks={"something": lambda host: None}) == ["something"]


def test_every_failure_is_listed_with_its_command(config: Config) -> None:
    with pytest.raises(HostError) as caught:
        check_host(
            config,
            checks={
                "one": lambda host: Problem("is gone", "bring it\nback"),
                "two": lambda host: None,
                "three": lambda host: Problem("is old", "renew it"),
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


def test_missing_programs_make_one_command(host: Host, tmp_path: Path) -> None:
    host = replace(host, path=str(tmp_path))
    what, fix = host_checks.programs(host) or ("", "")
    for program in ("xz", "m4", "zstd", "setpriv", "lxc-execute"):
        assert program in what
    assert "apt-get install" in fix and "xz-utils" in fix and "zstd" in fix
    for check, program in ((host_checks.lxc, "lxc-execute"), (host_checks.id_mappers, "newuidmap")):
        assert check(host) == Problem(f"no {program}", install_command([f"has {program}"], host.etc))
    assert "g++" in CHECKS["g++ with a static C++ library"](host).fix
    assert "util-linux" in CHECKS["user namespaces"](host).fix


def stand_in(host: Host, names: Iterable[str], text: str) -> Host:
    """The host with other programs of these names."""
    folder = host.etc.parent / "bin"
    folder.mkdir()
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return replace(host, path=f"{folder}:{host.path}")


def test_a_setpriv_that_is_busyboxs(host: Host) -> None:
    assert host_checks.programs(host) is None
    host = stand_in(host, ["setpriv"], "echo \"setpriv: unrecognized option '$1'\" >&2; exit 1")
    (host.etc / "os-release").write_text("ID=alpine\n")
    what, fix = host_checks.programs(host)
    assert what == "setpriv: unrecognized option '--pdeathsig'" and fix.endswith("apk add setpriv")


def test_an_old_lxc(host: Host) -> None:
    host = stand_in(host, ["lxc-execute"], "echo 4.0.12")
    assert host_checks.lxc(host).what == "this is 4.0.12"


def test_no_static_library(host: Host) -> None:
    host = stand_in(host, ["gcc"], "echo 'ld: cannot find -lc' >&2; exit 1")
    what, fix = CHECKS["gcc with a static C library"](host)
    assert what == "gcc cannot link a static program: ld: cannot find -lc" and "libc6-dev" in fix


@pytest.mark.parametrize(
    ("setting", "value", "fix"),
    [
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=65536"),
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
    ],
)
def test_the_setting_that_forbids_namespaces(host: Host, setting: str, value: str, fix: str) -> None:
    host = replace(stand_in(host, ["unshare"], "echo 'unshare: Operation not permitted' >&2; exit 1"), uid=1000)
    (host.proc / "sys" / setting).write_text(f"{value}\n")
    for check in (CHECKS["user namespaces"], CHECKS["builds without a network"], host_checks.overlay):
        assert fix in check(host).fix and "tee /etc/sysctl.d/60-mere.conf" in check(host).fix
    (host.proc / "sys" / setting).unlink()
    assert "CONFIG_USER_NS" in CHECKS["user namespaces"](host).fix


def test_no_id_range(host: Host) -> None:
    what, fix = host_checks.id_ranges(host)
    assert "no range of 65536 ids" in what and "subuid" in fix


def test_a_newuidmap_without_its_bit(host: Host, tmp_path: Path) -> None:
    host = replace(stand_in(host, ["newuidmap", "newgidmap"], ":"), uid=1000)
    assert f"chmod u+s {tmp_path}/bin/newuidmap" in host_checks.id_mappers(host).fix


def test_disk_memory_machine_and_kernel(host: Host) -> None:
    host = replace(host, disk_usage=lambda folder: (1 << 40, 1 << 40, 5 << 30), machine="aarch64", release="5.10.0-28")
    assert "5.0 of 15 GiB free" in host_checks.disk(host).what
    (host.config.store / "entries").mkdir(parents=True)
    assert host_checks.disk(host) is None, "a later run needs less"
    assert host_checks.memory(host) is None
    (host.proc / "meminfo").write_text("MemTotal: 2000000 kB\n")
    assert host_checks.memory(host).what == "1.9 GiB"
    assert host_checks.machine(host).what == "this is aarch64"
    assert host_checks.kernel(host).what == "this is 5.10.0-28"


def test_a_store_that_cannot_be_written(config: Config) -> None:
    what, fix = host_checks.overlay(Host(replace(config, store=Path("/proc/store"))))
    assert what.startswith("cannot write to /proc: ") and "MERE_STORE" in fix


pytest_plugins = ("tests.rooms",)

needs_ids = pytest.mark.skipif(
    host_checks.id_ranges(Host(Config(Path("/"), Path("/"), Path("/")))) is not None
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
    assert check_host(config) == [*CHECKS, "a way for containers to the store"]
