"""Nothing that a step or a cell with tools runs reaches the host, its network or another build."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mere_helpers.building.jobserver import Jobserver
from mere_helpers.config import Config
from mere_helpers.store.store import Entry, Store

from . import steps
from .doors import build, in_cell, in_step
from .outside import Outside
from .score import Score

pytestmark = pytest.mark.containers


@pytest.fixture(scope="module")
def places(outside: Outside, tool: Entry) -> dict[str, str]:
    """Everything that a probe may know of the host."""
    outside.watch(tool.tree)
    disk = os.stat("/").st_dev
    node = Path(f"/dev/block/{os.major(disk)}:{os.minor(disk)}")
    uevent = Path(f"/sys/dev/block/{os.major(disk)}:{os.minor(disk)}/uevent")
    about = uevent.read_text() if uevent.exists() else ""
    name = next((line[8:] for line in about.split() if line.startswith("DEVNAME=")), "none")
    cron = Path("/etc/cron.d")
    return outside.places | {
        "prefix": sys.prefix,
        "tool_tree": str(tool.tree),
        "disk": f"{os.major(disk)} {os.minor(disk)}",
        "node": str(node if node.exists() else Path("/dev", name)),
        "uts": os.readlink("/proc/self/ns/uts"),
        "ipcns": os.readlink("/proc/self/ns/ipc"),
        "cgroupns": os.readlink("/proc/self/ns/cgroup"),
        "hostname": socket.gethostname(),
        "cron": "{0.st_dev}:{0.st_ino}".format(cron.stat()) if cron.exists() else "",
    }


def _script(text: str, places: dict[str, str]) -> str:
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in places.items()) + text


@pytest.fixture
def jobserver(room: Config) -> Iterator[Jobserver]:
    with Jobserver(room.work / "jobs", 3) as jobserver:
        yield jobserver


def test_the_probe_runs_and_a_harmless_step_has_no_effect(
    room: Config, outside: Outside, places: dict[str, str], tool: Entry
) -> None:
    said = in_step(room, _script('probe read "$srcdir/../recipe.sh" && cat "$tools/data"', places), tool)
    assert "data of a tool" in said and not outside.effects(said.replace("mere-secret", ""))


def test_what_the_canaries_are_for_is_seen(outside: Outside) -> None:
    """An attack that works is noticed: each of these is done from here."""
    places = outside.places
    Path(places["home"], ".bashrc").write_text("evil\n")
    Path(places["tmp"], "new").write_text("evil\n")
    Path("/tmp/mere-mark-1").touch()
    with socket.create_connection(("127.0.0.1", int(places["tcp"]))) as connection:
        connection.sendall(b"knock")
        said = connection.recv(100).decode()
    os.kill(int(places["pid"]), 9)
    os.waitid(os.P_PID, int(places["pid"]), os.WEXITED | os.WNOWAIT)
    found = outside.effects(f"{said}\n= EINVAL\n= EPERM\n@ 0:5 12 1:11 r /dev/kmsg\n")
    for effect in ("read the secret of listener", "contacted TCP", ".bashrc", "/new", "made /tmp/mere-mark-1", "EINVAL",
                   "ended a process of the host", "the device 1:11"):  # fmt: skip
        assert effect in "; ".join(found)
    assert not any("EPERM" in effect for effect in found)
    assert not outside.effects("")


@pytest.mark.parametrize("name", steps.ALL)
def test_no_way_out_of_a_step(
    room: Config, outside: Outside, places: dict[str, str], tool: Entry, jobserver: Jobserver, score: Score, name: str
) -> None:
    more = {"fifo": "/mnt/jobs/fifo", "pid": outside.places["pid"], "address": outside.places["address"]}
    # A build has its own name for the fifo, and may find another's in the store.
    script = 'for fifo in /mnt/jobs/fifo /jobs/fifo /js/fifo "$fifo"; do [ ! -p "$fifo" ] || break; done\n'
    said = in_step(room, _script(script + steps.ALL[name], places | more), tool, jobserver)
    found = outside.effects(said)
    if jobserver.free() != jobserver.tokens:
        found.append(f"{jobserver.free()} job tokens where there were {jobserver.tokens}")
    score("escapes from steps", found)


@pytest.mark.parametrize("name", steps.IN_CELLS)
def test_no_way_out_of_a_cell_with_tools(
    room: Config, outside: Outside, places: dict[str, str], tool: Entry, score: Score, name: str
) -> None:
    said = in_cell(room, _script(steps.ALL[name], places | outside.places), tool)
    score("escapes from cells", outside.effects(said))


@pytest.mark.parametrize("source", ["$tools/data", "$entry"])
def test_an_output_is_a_file_of_its_own(
    room: Config, outside: Outside, places: dict[str, str], tool: Entry, score: Score, source: str
) -> None:
    script = _script(f'ln "{source}" "$pkgdir/data" || :', places).replace("\n", "; ")
    entry = build(room, f"build() {{ {script}; }}; package() {{ :; }}", name="twin", tools={"cross/probe": tool})
    others = [tool.tree / "data", Path(places["entry"])]
    twins = [path for path in (entry.tree / "data",) if path.exists() for other in others if path.samefile(other)]
    Store(room).remove(entry)
    score("escapes from steps", [f"{path.name} is a file of another entry" for path in twins] + outside.effects(""))
