"""Sandboxes: what is inside, what is not, and that nothing stays behind."""

from __future__ import annotations

import importlib
import os
import pwd
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mere_helpers.building.jobserver import Jobserver
from mere_helpers.config import Config
from mere_helpers.errors import ContainerError
from mere_helpers.process import follow
from mere_helpers.sandbox.idmap import IdRange, as_mapped_root, id_range
from mere_helpers.sandbox.limits import process_bytes
from mere_helpers.sandbox.orphans import Orphans
from mere_helpers.sandbox.sandbox import BUILDER, Bind, Overlay, Result, Sandbox

from .rooms import CHECKOUT

pytest_plugins = ("tests.rooms",)
pytestmark = pytest.mark.containers

#: What these tests and the helpers import.
_MODULES = "pytest _pytest pluggy iniconfig packaging pygments requests urllib3 idna certifi charset_normalizer"


def sh(room: Config, layers: Path | list[Path], script: str, **options: Any) -> Result:
    with Sandbox(room, layers if isinstance(layers, list) else [layers]) as container:
        return container.run(["/bin/sh", "-c", script], **options)


def left_over(room: Config) -> list[str]:
    """The folders of containers, and those that LXC makes elsewhere for their locks."""
    above = room.store / "containers"
    return [str(path) for folder in (above, Path(f"/run/lxc/lock{above}")) for path in folder.glob("mere-*")]


def test_own_namespaces(room: Config, busybox: Path) -> None:
    script = "id -u; hostname; ip -o link | wc -l; ip link show up lo | wc -l; echo $$; pwd; tty; cat"
    result = sh(room, busybox, script, cwd="/tmp")
    assert (result.code, result.tail.split()) == (0, ["0", "mere", "1", "2", "2", "/tmp", "not", "a", "tty"])
    for kind in ("user", "pid", "net", "mnt", "uts", "ipc"):
        inside = sh(room, busybox, f"readlink /proc/self/ns/{kind}").tail.strip()
        assert inside.startswith(kind) and inside != os.readlink(f"/proc/self/ns/{kind}")


def test_a_program_of_the_mapped_root_that_is_killed_has_failed(room: Config) -> None:
    """lxc-usernsexec says 0 then; half of a root would have been taken for a whole one."""
    for victim in ("$$", "$PPID"):
        with pytest.raises(ContainerError, match=r"(?si)sh failed as the root of containers: .*killed"):
            as_mapped_root(room, ["sh", "-c", f"kill -9 {victim}; sleep 1"])
    with pytest.raises(ContainerError, match="no such thing"):
        as_mapped_root(room, ["sh", "-c", "echo no such thing >&2; exit 3"])
    assert as_mapped_root(room, ["sh", "-c", "echo well; echo said >&2"]) == "well\n"


def test_root_inside_is_nobody_outside(room: Config, busybox: Path) -> None:
    ids = id_range(room)
    with Sandbox(room, [busybox]) as container:
        result = container.run(
            ["/bin/sh", "-c", "cat /proc/self/uid_map; echo x > /file; mknod /zero c 1 5 || echo refused"]
        )
        assert result.tail.split()[:3] == ["0", str(ids.uid), "65536"]
        assert "refused" in result.tail
        assert (container.upper / "file").stat().st_uid == ids.uid


def test_root_inside_can_be_another_nobody(room: Config, busybox: Path, tmp_path: Path) -> None:
    other = replace(room, id_shift=1)
    with Sandbox(other, [busybox], folders=("/kept",)) as container:
        result = container.run(["/bin/sh", "-c", "cat /proc/self/uid_map; echo x > /kept/file"])
        assert result.tail.split()[:3] == ["0", str(id_range(room).uid + 1), "65535"]
        assert (container.upper / "kept/file").stat().st_uid == id_range(other).uid
        container.keep("/kept", tmp_path / "kept")
    assert (tmp_path / "kept/file").stat().st_uid == os.getuid()


def test_environment_is_the_one_given(room: Config, busybox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    with Sandbox(room, [busybox], environment={"PATH": "/bin", "A": "b c'\"$x"}) as container:
        lines = container.run(["/bin/env"]).tail.splitlines()
    assert sorted(lines) == ["A=b c'\"$x", "PATH=/bin", "container=lxc"]


def test_devices_shared_memory_and_tmp(room: Config, busybox: Path) -> None:
    script = "echo gone > /dev/null; echo x > /dev/shm/x; echo x > /tmp/x; stat -c %a /tmp; echo y > /dev/stderr"
    result = sh(room, busybox, script)
    assert (result.code, result.tail.split()) == (0, ["1777", "y"])


def test_first_layer_is_the_topmost(room: Config, busybox: Path, tmp_path: Path) -> None:
    layers = []
    for name in ("one", "two"):
        layer = room.checkout / name
        (layer / "etc").mkdir(parents=True, exist_ok=True)
        (layer / "etc/who").write_text(name)
        (layer / f"etc/{name}").write_text(name)
        layers.append(layer)
    assert sh(room, [*layers, busybox], "cat /etc/who; ls /etc").tail.split() == ["oneone", "two", "who"]
    assert sh(room, [*layers[::-1], busybox], "cat /etc/who").tail == "two"


def test_forty_layers_and_changes_stay_above(room: Config, busybox: Path) -> None:
    layers = [busybox]
    for number in range(40):
        layer = room.checkout / "many" / str(number)
        (layer / "folder").mkdir(parents=True)
        (layer / "folder" / f"file-{number}").touch()
        layers.append(layer)
    # Removing and making again needs a mark on the new folder that says: nothing of the layers below.
    for layer in layers[1:]:
        as_mapped_root(room, ["chown", "-R", "0:0", layer], own=True)
    result = sh(room, layers, "ls /folder | wc -l; rm -rf /folder && mkdir /folder && ls /folder | wc -l")
    assert (result.code, result.tail.split()) == (0, ["40", "0"])
    assert (layers[7] / "folder/file-6").exists()


def test_bound_files(room: Config, busybox: Path, tmp_path: Path) -> None:
    folder = room.checkout / "a folder"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "text").write_text("hello")
    binds = [
        Bind(folder / "text", "/sources/with blank"),
        Bind(folder, "/writable", readonly=False),
        Bind(folder, "/ro"),
    ]
    with Sandbox(room, [busybox], binds=binds, folders=["/sources"]) as container:
        result = container.run(
            ["/bin/sh", "-c", "cat '/sources/with blank'; echo x > /writable/new; echo x > /ro/other || echo no"]
        )
    assert result.tail.startswith("hello") and result.tail.endswith("no\n")
    assert sorted(path.name for path in folder.iterdir()) == ["new", "text"]


def test_files_go_in_as_root(room: Config, busybox: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe"
    (recipe / "sub").mkdir(parents=True)
    (recipe / "sub/fix.patch").write_text("fix")
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    with Sandbox(room, [busybox]) as container:
        container.copy_in([recipe, script], "/deep/below")
        result = container.run(
            ["/bin/sh", "-c", "cd /deep/below; stat -c '%u:%g %a %n' . script recipe recipe/sub/fix.patch"]
        )
        with pytest.raises(ContainerError, match="before its first command"):
            container.copy_in([script], "/deep")
    assert result.tail.splitlines() == [
        "0:0 755 .",
        "0:0 755 script",
        "0:0 755 recipe",
        "0:0 644 recipe/sub/fix.patch",
    ]


def test_private_folders_are_for_root_inside_alone(room: Config, busybox: Path, tmp_path: Path) -> None:
    (tmp_path / "key/deep").mkdir(parents=True)
    (tmp_path / "key/secret").write_text("secret")
    with Sandbox(room, [busybox]) as container:
        container.copy_in([tmp_path / "key"], "/", private=True)
        modes = [(container.upper / name).stat().st_mode & 0o777 for name in ("", "key")]
        result = container.run(["/bin/sh", "-c", "stat -c %a /key/deep; cat /key/secret"])
    assert modes == [0o755, 0o700] and result.tail == "700\nsecret"


@pytest.mark.parametrize(
    ("command", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("no-such-program", 127), ("exec true", 0)]
)
def test_exit_status(room: Config, busybox: Path, command: str, code: int) -> None:
    assert sh(room, busybox, command).code == code


def test_log_gets_everything(room: Config, busybox: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    result = sh(room, busybox, "seq 1 20000; echo error >&2", log=log)
    assert log.read_text().splitlines() == [*map(str, range(1, 20001)), "error"]
    assert result.tail.endswith("20000\nerror\n") and len(result.tail) <= 16384


def test_lxc_that_waits_in_vain_for_its_first_process_is_ended(tmp_path: Path) -> None:
    """LXC holds both ends of a line on which it waits while it starts; this one never looks whether its child lives."""
    script = "import os, time; os.fork() or os._exit(0); time.sleep(600)"
    orphans = Orphans(notice_s=0.3)
    with open(tmp_path / "log", "wb", buffering=0) as log:
        ended = follow([sys.executable, "-c", script], log, cwd=tmp_path, environment={}, watch=orphans.watch)
    assert (ended.code, orphans.died) == (128 + signal.SIGKILL, True)


def test_lxc_that_reads_how_its_first_process_ended_is_left_alone(tmp_path: Path) -> None:
    script = "import os, time; os.fork() or os._exit(0); os.wait(); time.sleep(2)"
    orphans = Orphans(notice_s=0.3)
    with open(tmp_path / "log", "wb", buffering=0) as log:
        ended = follow([sys.executable, "-c", script], log, cwd=tmp_path, environment={}, watch=orphans.watch)
    assert (ended.code, orphans.died) == (0, False)


def test_cost_counts_orphans(room: Config, busybox: Path) -> None:
    # The loops run in processes whose parents are gone.
    loop = "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done"
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([busybox / "bin/sh", "-c", loop], check=True)
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    one = end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime
    script = f"""touch /done; ( ( {loop}; echo >> /done ) & ( {loop}; echo >> /done ) & )
        while [ "$(wc -l < /done)" != 2 ]; do sleep 0.1; done"""
    result = sh(room, busybox, script)
    assert result.cpu_s == pytest.approx(2 * one, rel=0.6)
    assert result.wall_s > one / 4


def test_peak_memory(room: Config, busybox: Path) -> None:
    result = sh(room, busybox, "dd if=/dev/zero bs=300M count=1 2>/dev/null | sleep 2")
    assert 300e6 < result.peak_bytes < 400e6


def test_peak_memory_is_that_of_all_processes_together(room: Config, busybox: Path) -> None:
    # Each holds what it has read, because nobody takes it.
    one = "dd if=/dev/zero bs=100M count=1 2>/dev/null | sleep 2"
    result = sh(room, busybox, f"{one} & {one} & {one} & wait")
    assert 300e6 < result.peak_bytes < 400e6


def test_memory_that_processes_inside_share_can_be_counted_once(room: Config, busybox: Path) -> None:
    script = "x=$(head -c 100000000 /dev/zero | tr '\\0' x); (sleep 3.7; :) & (sleep 3.7; :) & wait"
    before = process_bytes(os.getpid()), process_bytes(os.getpid(), exactly=True)
    thread = threading.Thread(target=sh, args=[room, busybox, script])
    thread.start()
    wait_for(lambda: len(processes("sleep 3.7")) == 2)
    each, once = process_bytes(os.getpid()) - before[0], process_bytes(os.getpid(), exactly=True) - before[1]
    thread.join()
    assert each > 300e6 and 100e6 < once < each / 2


def test_a_fifo_of_job_tokens_works_although_its_folder_is_read_only(room: Config, busybox: Path) -> None:
    script = "head -c 1 /js/fifo; printf + > /js/fifo; echo; rm /js/fifo 2>/dev/null || echo kept"
    with Jobserver(room.work / "jobs", 1) as jobserver, jobserver.lease() as lease:
        with Sandbox(room, [busybox], binds=[Bind(lease.folder, "/js")]) as container:
            assert container.run(["/bin/sh", "-c", script]).tail == "+\nkept\n"
        assert jobserver.free() == 1


def test_time_out_kills_everything(room: Config, busybox: Path) -> None:
    with Sandbox(room, [busybox]) as container:
        begin = time.monotonic()
        result = container.run(["/bin/sh", "-c", "trap '' TERM; sleep 777 & echo on; sleep 777"], timeout=0.7)
        assert time.monotonic() - begin < 5
    assert result.reason and result.code and result.tail == "on\n"
    assert not processes("sleep 777")
    assert not left_over(room)


def test_stop_event_ends_it(room: Config, busybox: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with Sandbox(room, [busybox], stop=stop) as container:
        result = container.run(["/bin/sleep", "778"])
    assert result.code and result.reason == "stopped" and not processes("sleep 778")


def test_fork_bomb_ends(room: Config, busybox: Path) -> None:
    # With a smaller limit than usual, for the sake of whoever else uses this machine.
    script = (
        "import pathlib; from mere_helpers.config import Config\n"
        "from mere_helpers.sandbox.sandbox import Sandbox\n"
        f"here = pathlib.Path({str(room.store)!r})\n"
        f"config = Config(checkout=pathlib.Path({str(room.checkout)!r}), store=here, sources=here)\n"
        f"with Sandbox(config, [pathlib.Path({str(busybox)!r})]) as container:\n"
        "    bomb = 'bomb() { bomb | bomb & }; bomb; sleep 779'\n"
        "    result = container.run(['/bin/sh', '-c', bomb], timeout=30)\n"
        "print(result.reason)\n"
    )
    command = ["prlimit", "--nproc=300:300", sys.executable, "-c", script]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("it ran more than 150 processes at a time\n", "")
    assert not processes("sleep 779") and not left_over(room)


def test_no_file_grows_without_end(room: Config, busybox: Path) -> None:
    result = sh(room, busybox, "ulimit -f; ulimit -c; grep processes /proc/self/limits; truncate -s 17g /file")
    size, core, _, _, processes, *_ = result.tail.split()
    assert (size, core) == (str((16 << 30) // 512), "0") and int(processes) <= 8192 and result.code


def test_nothing_left_after_an_exception(room: Config, busybox: Path) -> None:
    with pytest.raises(ZeroDivisionError), Sandbox(room, [busybox]) as container:
        container.run(["/bin/mkdir", "-m", "0", "/closed"])
        raise ZeroDivisionError
    assert not left_over(room)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_killed_run_leaves_nothing_for_long(room: Config, busybox: Path, kind: signal.Signals) -> None:
    marker = f"8{kind:03d}.{os.getpid()}"
    script = (
        "import sys, pathlib; from mere_helpers.config import Config\n"
        "from mere_helpers.sandbox.sandbox import Sandbox\n"
        f"here = pathlib.Path({str(room.store)!r})\n"
        f"config = Config(checkout=pathlib.Path({str(room.checkout)!r}), store=here, sources=here)\n"
        f"with Sandbox(config, [pathlib.Path({str(busybox)!r})]) as container:\n"
        f"    container.run(['/bin/sleep', '{marker}'])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=CHECKOUT, stderr=subprocess.DEVNULL)
    wait_for(lambda: processes(f"sleep {marker}"))
    process.send_signal(kind)
    process.wait(10)
    wait_for(lambda: not processes(f"sleep {marker}"))
    assert bool(left_over(room)) == (kind == signal.SIGKILL)
    assert sh(room, busybox, "true").code == 0
    assert not left_over(room)
    assert not list(Path("/sys/fs/cgroup").rglob(f"lxc.*.mere-{process.pid}-*"))


def test_links_that_a_build_made_are_not_followed(room: Config, busybox: Path) -> None:
    script = """mkdir /out /out/real; echo good > /out/real/file; ln -s /etc/passwd /out/file; ln -s /etc /out/folder
        ln -s real /out/near; mkfifo /out/fifo"""
    with Sandbox(room, [busybox]) as container:
        assert container.run(["/bin/sh", "-c", script]).code == 0
        assert container.names("/out") == ["fifo", "file", "folder", "near", "real"]
        assert container.read_file("/out/real/file") == b"good\n"
        bad = [
            "/out/file",
            "/out/folder/passwd",
            "/out/near/file",
            "/out/fifo",
            "/out/real",
            "/out/none",
            "/out/../out/real/file",
        ]
        for path in bad:
            with pytest.raises(ContainerError, match="cannot read"):
                container.read_file(path)
        with pytest.raises(ContainerError):
            container.names("/out/folder")
        with pytest.raises(ContainerError):
            container.keep("/out/folder", room.store / "kept")


@pytest.mark.parametrize("mode", [755, 700])
def test_kept_folder_is_ours(room: Config, busybox: Path, mode: int) -> None:
    kept = room.store / "failed/kept"
    for text in ("one", "two"):
        with Sandbox(room, [busybox], folders=["/build"]) as container:
            script = (
                f"mkdir -m 500 /build/a; echo {text} > /build/a/b; chmod 4755 /build/a/b; ln -s /etc/shadow /build/c;"
                f"chmod {mode} /build"
            )
            container.run(["/bin/sh", "-c", script])
            container.keep("/build", kept)
        assert (kept / "a/b").read_text() == f"{text}\n"
        assert {path.lstat().st_uid for path in kept.rglob("*")} == {os.getuid()}
        assert not (kept / "a/b").stat().st_mode & 0o6000
    shutil.rmtree(kept)


def test_two_at_once(room: Config, busybox: Path) -> None:
    results = []

    def one() -> None:
        results.append(sh(room, busybox, "sleep 0.5; echo ok").tail)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["ok\n"] * 4 and not left_over(room)


def test_missing_layer_and_missing_range(room: Config, busybox: Path, tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match="is not there"), Sandbox(room, [busybox / "none"]):
        pass
    with pytest.raises(ContainerError, match="401 layers"), Sandbox(room, [busybox] * 401):
        pass
    (tmp_path / "subuid").write_text("somebody:200000:65536\n")
    with pytest.raises(ContainerError, match="no range") as caught:
        id_range(room, folder=tmp_path)
    assert ":265536:65536 | sudo tee -a" in caught.value.hint


def test_a_range_can_begin_later(room: Config, tmp_path: Path) -> None:
    for name in ("subuid", "subgid"):
        (tmp_path / name).write_text(f"{os.getuid()}:200000:65536\n")
    assert id_range(room, folder=tmp_path) == IdRange(200000, 200000, 65536)
    assert id_range(replace(room, id_shift=1), folder=tmp_path) == IdRange(200001, 200001, 65535)


def test_unreachable_store_says_why(room: Config, busybox: Path) -> None:
    closed = room.checkout / "closed"
    closed.mkdir(mode=0o700)
    config = Config(checkout=room.checkout, store=closed / "store", sources=closed)
    with pytest.raises(ContainerError, match="did not start") as caught, Sandbox(config, [busybox]) as container:
        container.run(["/bin/true"])
    assert "check" in caught.value.hint
    assert not left_over(config)


@pytest.mark.slow
def test_all_of_this_as_an_ordinary_user() -> None:
    if os.getuid() != 0:
        pytest.skip("this is the ordinary user")
    user = ordinary_user()
    # Neither our checkout nor our Python need be open to others.
    with tempfile.TemporaryDirectory(prefix="mere-test-", dir="/tmp") as name:
        copy = Path(name)
        copy.chmod(0o755)
        for part in ("mere_helpers", "tests"):
            shutil.copytree(CHECKOUT / part, copy / part)
        (copy / "recipes").mkdir()
        for file in (CHECKOUT / "recipes").glob("*.conf"):
            shutil.copy(file, copy / "recipes")
        for module in _MODULES.split():
            shutil.copytree(Path(str(importlib.import_module(module).__file__)).parent, copy / module)
        shutil.copy(str(importlib.import_module("py").__file__), copy)
        subprocess.run(["chmod", "-R", "u=rwX,go=rX", copy], check=True)
        as_user = ["runuser", "-u", user, "--", "env", f"PYTHONPATH={copy}", "PYTHONDONTWRITEBYTECODE=1"]
        python = next((name for name in (sys.executable, "/usr/bin/python3") if usable([*as_user, name])), None)
        if python is None:
            pytest.skip(f"{user} can run no Python from 3.11 up")
        command: list[str | Path] = [
            python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            "/dev/null",
            "--rootdir",
            copy,
        ]
        tests = [
            "tests/test_sandbox.py",
            "tests/test_layers.py",
            "tests/test_step.py",
            "tests/test_package.py::test_split_package_with_sources",
        ]
        done = subprocess.run([*as_user, *command, *tests, "-W", "ignore"], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    print(done.stdout[-200:])


def ordinary_user(name: str = "builder") -> str:
    try:
        pwd.getpwnam(name)
    except KeyError:
        made = subprocess.run(["useradd", "-m", name], capture_output=True, text=True)
        if made.returncode:
            pytest.skip(f"no user {name}, and none can be made: {made.stderr.strip()}")
    return name


def usable(command: list[str]) -> bool:
    program = "import sys, pytest; assert sys.version_info >= (3, 11)"
    return subprocess.run([*command, "-c", program], capture_output=True, cwd="/").returncode == 0


def processes(words: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if words in line and " -c " not in line:
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_a_killed_removal_left_is_removed(room: Config, busybox: Path) -> None:
    left = room.store / "containers/gone-mere-1-1"
    (left / "m/upper").mkdir(parents=True)
    with Sandbox(room, [busybox]) as container:
        assert container.folder.is_dir()
        name = container.folder
    assert not name.exists()
    for _ in range(100):
        if not list((room.store / "containers").glob("gone-*")):
            return
        time.sleep(0.1)
    pytest.fail("still there after ten seconds")


def test_an_overlay_can_be_written_to_and_its_layers_stay(room: Config, busybox: Path) -> None:
    one, two = room.checkout / "one", room.checkout / "two"
    for layer in (one, two):
        (layer / "folder").mkdir(parents=True)
        (layer / "folder" / layer.name).write_text(layer.name)
        (layer / "folder" / layer.name).chmod(0o444)
    script = """
        cat folder/one folder/two; echo
        echo new > folder/new && rm folder/one && echo other > folder/two && exit 9
        rm -r folder && mkdir folder && ls -A folder
    """
    overlay = Overlay([one, two], "/place")
    with Sandbox(room, [busybox], overlays=[overlay]) as sandbox:
        result = sandbox.run(["/bin/sh", "-ec", script], cwd="/place")
        assert (result.code, result.tail.split("\n")[0]) == (0, "onetwo"), result.tail
        assert "can't create folder/two: Permission denied" in result.tail
    assert (one / "folder/one").read_text() == "one" and (two / "folder/two").read_text() == "two"
    assert [path.name for path in (one / "folder").iterdir()] == ["one"]


def test_what_is_taken_keeps_its_modes_and_changes_no_user(room: Config, busybox: Path, tmp_path: Path) -> None:
    script = """
        umask 022; mkdir -p /out/folder/closed; echo a > /out/plain; echo b > /out/program; chmod 6755 /out/program
        chmod 440 /out/plain; ln -s /etc/passwd /out/link; chmod 100 /out/folder/closed; chmod 1777 /out/folder
    """
    with Sandbox(room, [busybox], folders=["/out"]) as sandbox:
        assert sandbox.run(["/bin/sh", "-ec", script]).code == 0
        sandbox.take("/out", tmp_path / "out")
    modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in (tmp_path / "out").rglob("*")}
    assert modes == {"folder": 0o755, "closed": 0o500, "plain": 0o440, "program": 0o755, "link": 0o777}
    assert {path.lstat().st_uid for path in (tmp_path / "out").rglob("*")} == {os.getuid()}


@pytest.mark.parametrize("script", ["rmdir /out; ln -s /etc /out", "rmdir /out", "rmdir /out; mkfifo /out"])
def test_what_is_no_directory_is_not_taken(room: Config, busybox: Path, tmp_path: Path, script: str) -> None:
    with Sandbox(room, [busybox], folders=["/out"]) as sandbox:
        assert sandbox.run(["/bin/sh", "-ec", script]).code == 0
        with pytest.raises(ContainerError, match="cannot read /out of the container"):
            sandbox.take("/out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_git_does_not_look_into_what_is_kept(room: Config, busybox: Path, tmp_path: Path) -> None:
    script = "mkdir -p /out/a/.git/b/.git && echo '[core] fsmonitor = evil' > /out/a/.git/config && echo x > /out/.git"
    with Sandbox(room, [busybox], folders=["/out"]) as sandbox:
        assert sandbox.run(["/bin/sh", "-ec", script]).code == 0
        sandbox.keep("/out", tmp_path / "kept")
    assert not list((tmp_path / "kept").rglob(".git"))
    assert (tmp_path / "kept/a/.git-kept/config").is_file()


def test_the_loopback_interface_works_and_leads_nowhere_else(room: Config, busybox: Path) -> None:
    script = "nc -l -p 4711 -e echo answer & sleep 0.3; nc 127.0.0.1 4711; ip route | wc -l; ip -o link | wc -l"
    assert sh(room, busybox, script).tail.split() == ["answer", "0", "1"]


_CALLS = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(number, *arguments)
    return os.strerror(ctypes.get_errno()) if result < 0 else "allowed"
print("unshare", call(272, 0x10000000))
print("clone3", call(435, 0, 0))
print("mount", call(165, b"none", b"/tmp", b"tmpfs", 0, 0))
print("keyctl", call(250, 0, -3, 0))
print("io_uring_setup", call(425, 1, 0))
print("bpf", call(321, 0, 0, 0))
print("userfaultfd", call(323, 1))
for name, arguments in {"vsock": (40, 1, 0), "nftables": (16, 3, 12)}.items():
    try:
        socket.socket(*arguments)
        print(name, "allowed")
    except OSError as error:
        print(name, error.strerror)
"""


def test_system_calls_that_no_build_needs_are_refused(room: Config) -> None:
    with Sandbox(room, [], host=True, user=BUILDER) as sandbox:
        said = dict(line.split(" ", 1) for line in sandbox.run(["python3", "-c", _CALLS]).tail.splitlines())
    assert said == {
        "unshare": "Operation not permitted",
        "clone3": "Function not implemented",
        "mount": "Operation not permitted",
        "keyctl": "Function not implemented",
        "io_uring_setup": "Function not implemented",
        "bpf": "Operation not permitted",
        "userfaultfd": "Operation not permitted",
        "vsock": "Address family not supported by protocol",
        "nftables": "Address family not supported by protocol",
    }


def test_what_is_not_confined_may_make_namespaces_and_mount(room: Config, busybox: Path) -> None:
    script = ["/bin/sh", "-c", "mount -t tmpfs none /tmp && unshare -m true && grep Seccomp: /proc/self/status"]
    with Sandbox(room, [busybox], confined=False) as sandbox:
        assert sandbox.run(script).tail.split() == ["Seccomp:", "0"]
    with Sandbox(room, [busybox]) as sandbox:
        assert sandbox.run(script).code != 0


def test_steps_and_cells_are_an_ordinary_user_without_capabilities(room: Config) -> None:
    with Sandbox(room, [], host=True, user=BUILDER, folders=["/mine"]) as sandbox:
        said = sandbox.run(
            ["sh", "-c", "id -u; id -G; grep -E 'Cap(Prm|Eff|Amb)|NoNew' /proc/self/status; touch /mine/a"]
        )
    assert said.tail.split() == [
        "1000",
        "1000",
        *"CapPrm: 0 CapEff: 0 CapAmb: 0 NoNewPrivs: 1".replace(" 0", " " + "0" * 16).split(),
    ]


@pytest.mark.parametrize("early", ["", "sleep 0.7; "])
def test_what_a_command_leaves_running_ends_with_it(room: Config, busybox: Path, early: str) -> None:
    marker = f"3600.{os.getpid()}"
    daemon = f"(trap '' TERM HUP; setsid sleep {marker}) > /dev/null 2>&1 &"
    result = sh(room, busybox, f"{early}{daemon} {daemon} sleep 0.1; exit 7", timeout=60)
    assert (result.code, result.reason) == (7, "")
    assert not processes(f"sleep {marker}")


def test_a_command_may_have_children_that_end_before_it(room: Config, busybox: Path) -> None:
    result = sh(room, busybox, "(sleep 0.4 &) ; true & sleep 0.2; (sleep 0.1 &); sleep 1; echo done", timeout=60)
    assert (result.code, result.tail) == (0, "done\n")
