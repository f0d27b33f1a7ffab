"""The desk belongs to one process that lives, and a command on it ends with all that it has started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mere_helpers.config import Config
from mere_helpers.errors import CommandError
from mere_helpers.press import workspace
from mere_helpers.sandbox.idmap import as_mapped_root
from mere_helpers.store.store import Store

from .rooms import new_room

pytest_plugins = ("tests.rooms",)
pytestmark = pytest.mark.containers

_USE = """
import sys
from pathlib import Path
from mere_helpers.config import Config
from mere_helpers.sandbox.idmap import as_mapped_root
from mere_helpers.press.workspace import workspace
print(workspace(Config(Path(), Path(sys.argv[1]), Path())), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def here() -> Iterator[Config]:
    with new_room() as config:
        yield config
        workspace.clear(config)


def _runs(marker: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_bytes() == f"sleep\0{marker}\0".encode():
                return True
    return False


def test_what_a_dead_process_with_our_number_left_is_not_found(here: Config) -> None:
    left = here.work / "desk" / str(os.getpid()) / "files" / "old"
    left.parent.mkdir(parents=True)
    left.write_text("old")
    assert workspace.run_with_tools(here, "ls", {}) == ""
    assert not left.exists()


def test_a_desk_stays_as_long_as_its_process_lives(here: Config) -> None:
    command = [sys.executable, "-c", _USE, here.store]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        theirs = Path(other.stdout.readline().strip())
        assert workspace.workspace(here) != theirs and theirs.is_dir()
        other.kill()
    assert theirs.is_dir()
    workspace.clear(here)
    workspace.workspace(here)
    assert not theirs.exists()


def test_it_goes_with_its_process(here: Config) -> None:
    done = subprocess.run([sys.executable, "-c", _USE, here.store], input="", capture_output=True, text=True)
    assert not Path(done.stdout.strip()).exists()
    assert list((here.work / "desk").glob("*/")) == []


def test_a_desk_that_was_cleaned_away_is_made_again(here: Config) -> None:
    workspace.workspace(here)
    as_mapped_root(here, ["rm", "-r", here.work], own=True)
    assert workspace.run_with_tools(here, "echo here", {}) == "here"


def test_files_stay_on_the_desk_and_containers_see_a_copy(here: Config, busybox: Path) -> None:
    workspace.put(here, "note", "one\n")
    assert (
        workspace.run_with_tools(here, "cat note; id -u; pwd; echo two >> note; echo new > file", {})
        == "one\n1000\n/desk"
    )
    assert (
        workspace.run_in_container(here, "cat note file; id -u; rm note; echo 3 > file", [busybox])
        == "one\ntwo\nnew\n0"
    )
    assert workspace.run_with_tools(here, "cat note file", {}) == "one\ntwo\nnew"


def test_what_is_put_on_the_desk_replaces_links_and_directories(here: Config, tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    ours.write_text("ours")
    ours.chmod(0o666)
    tmp_path.chmod(0o777)
    workspace.run_with_tools(here, f"ln -s {ours} link; mkdir folder; touch folder/file", {})
    for name in ("link", "folder", "-rf"):
        workspace.put(here, name, "new\n")
        assert workspace.run_with_tools(here, f"cat ./{name}", {}) == "new"
    assert ours.read_text() == "ours"


def test_tools_come_first_and_cannot_be_changed(here: Config) -> None:
    def produce(folder: Path) -> dict:
        program = folder / "out/mere/bin/hello"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\necho hello\n")
        program.chmod(0o755)
        return {}

    store = Store(here)
    entry = store.add("cross/hello", "a" * 64, {}, produce)
    tools = {entry.id: entry}
    assert (
        workspace.run_with_tools(
            here, "hello; echo 'echo bye' > new; chmod 755 new; mv -f new $(command -v hello); hello", tools
        ).split()[0]
        == "hello"
    )
    assert workspace.run_with_tools(here, "hello", tools) == "hello"
    store.verify(entry)


def test_a_command_sees_nothing_of_ours(here: Config) -> None:
    secret = Path.home() / f".mere-test-{os.getpid()}"
    secret.write_text("secret")
    try:
        assert workspace.run_with_tools(here, f"cat {secret} 2> /dev/null || echo no", {}) == "no"
        assert workspace.run_with_tools(here, f"ls -A /home /run {here.store} 2> /dev/null || echo no", {}) == "no"
        assert workspace.run_with_tools(here, "ls /proc | grep -c '^[0-9]'", {}) in ("3", "4", "5")
    finally:
        secret.unlink()


def test_a_command_that_takes_too_long_ends_with_its_children(here: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "TIMEOUT", 1.0)
    marker = f"60.{os.getpid()}"
    for run in (workspace.run_on_host, lambda config, command: workspace.run_with_tools(config, command, {})):
        with pytest.raises(CommandError, match=r"still running after 1 s, and ended: sleep"):
            run(here, f"sleep {marker} & wait")
        end = time.monotonic() + 10
        while _runs(marker):
            assert time.monotonic() < end, "the child lives on"
            time.sleep(0.1)
