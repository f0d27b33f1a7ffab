"""What `make setup` changes on a machine: the ranges of ids for containers; and how it configures JupyterLab."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[1] / "mere_helpers/host/setup.sh"
COUNT = 65536

#: Awks, which print large numbers in ways of their own.
AWKS = {
    "awk": ["awk"],
    "mawk": ["mawk"],
    "gawk": ["gawk"],
    "original-awk": ["original-awk"],
    "busybox": ["busybox", "awk"],
}


def function(*names: str) -> str:
    """The text of functions of the script."""
    text = SETUP.read_text()
    return "\n".join(
        re.search(rf"^{name}\(\) (.*\}}|\{{\n.*?^\}})$", text, re.MULTILINE | re.DOTALL)[0] for name in names
    )


class Machine:
    """Files of ranges, and the users of a machine; root's part is done by whoever runs the tests."""

    def __init__(self, folder: Path) -> None:
        self.uid, self.gid, self.bin = folder / "subuid", folder / "subgid", folder / "bin"
        self.bin.mkdir()
        self.program("getent", 'case $1 in passwd) printf "%s" "$PASSWD" ;; esac')
        self.program("id", 'case $1 in -un) printf "%s\\n" "$NAME" ;; *) printf "%s\\n" "$NUMBER" ;; esac')
        self.program("sudo", 'exec "$@"')
        self.text = function("say", "die", "has", "give_id_range", "count_ids", "used_ids", "free_id", "add_id_range")

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.bin / name).chmod(0o755)

    def setup(self, user: str, number: int = 1000, passwd: str = "", sudo: str = 'as_root() { "$@"; }') -> str:
        """Run the function as a user; returns what it said."""
        environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "NAME": user,
            "NUMBER": str(number),
            "PASSWD": passwd,
        }
        script = f'set -euo pipefail\n{sudo}\n{self.text}\ngive_id_range "$@"'
        command = ["bash", "-c", script, "setup", str(self.uid), str(self.gid)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return f"{done.returncode} {done.stdout}{done.stderr}"

    def lines(self) -> list[list[str]]:
        return [path.read_text().splitlines() for path in (self.uid, self.gid)]

    def overlaps(self) -> list[tuple[str, str]]:
        """Lines of two owners in either file, or across, that share an id."""
        rows = [line.rsplit(":", 2) for lines in self.lines() for line in lines]
        ranges = [(name, int(start), int(start) + int(count)) for name, start, count in rows]
        return [(a[0], b[0]) for a in ranges for b in ranges if a[0] != b[0] and a[1] < b[2] and b[1] < a[2]]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_first_user_of_a_machine(machine: Machine) -> None:
    said = machine.setup("reader")
    assert said.count("giving reader the ids 100000 to 165535") == 2 and said.startswith("0 ")
    assert machine.lines() == [["reader:100000:65536"]] * 2
    assert machine.uid.stat().st_mode & 0o777 == 0o644
    assert machine.setup("reader") == "0 ", "what is right is left alone, and root is not asked for"
    assert machine.lines() == [["reader:100000:65536"]] * 2


@pytest.mark.parametrize("awk", AWKS)
@pytest.mark.parametrize(
    ("before", "start"),
    [
        ("a:100000:65536\n", 165536),
        ("a:165536:65536\nb:100000:65536\n", 231072),
        ("a:2147483647:2147483648\n", 100000),
        ("a:2147483648:1\nb:4294901760:65535\n", 100000),
        ("a:0:2147483648\n", 2147483648),
        ("a:100000:2147383547\n", 2147483547),
        ("a:100000:4000000000\n", 4000100000),
        ("a:150000:1\nb:99000:2000\n", 150001),
        ("a:100000:65536", 165536),  # without an end of line
        ("# comment\n\na:b:c\na:1\n100000:5:5\n", 100000),
    ],
)
def test_a_range_never_overlaps_one_of_somebody(machine: Machine, awk: str, before: str, start: int) -> None:
    if shutil.which(AWKS[awk][0]) is None:
        pytest.skip(f"no {awk} on this host")
    machine.program("awk", f'exec {shutil.which(AWKS[awk][0])} {" ".join(AWKS[awk][1:])} "$@"')
    machine.uid.write_text(before)
    assert machine.setup("reader").startswith("0 ")
    assert machine.uid.read_text() == f"{before.rstrip()}\nreader:{start}:{COUNT}\n"
    assert machine.gid.read_text() == f"reader:{start}:{COUNT}\n", "the other file's ranges are looked at, too"


def test_where_no_range_is_free_it_says_so(machine: Machine) -> None:
    machine.gid.write_text("a:100000:4294850000\n")
    said = machine.setup("reader")
    assert said.startswith("1 ") and "no 65536 ids are free" in said
    assert machine.lines()[1] == ["a:100000:4294850000"]


@pytest.mark.parametrize("name", ["DOMAIN\\user", "DOMAIN\\new\\tab", "j.doe", "a[b]*", "user name", "$(id)", "1e3"])
def test_names_are_text(machine: Machine, name: str) -> None:
    # As a pattern, or as a number, a line of somebody else would do; each of them is somebody else.
    others = "jxdoe:300000:65536\na:400000:65536\n1000.0:500000:65536\n01000:600000:65536\nDOMAIN:700000:65536\n"
    machine.uid.write_text(others)
    machine.gid.write_text(others)
    for _ in range(2):
        assert machine.setup(name).startswith("0 ")
    assert machine.lines() == [[*others.splitlines(), f"{name}:100000:65536"]] * 2


def test_a_line_by_number_is_the_users_own(machine: Machine) -> None:
    machine.uid.write_text("1000:200000:65536\n")
    machine.gid.write_text("1000:200000:131072\n")
    assert machine.setup("reader") == "0 "
    assert machine.lines() == [["1000:200000:65536"], ["1000:200000:131072"]]


def test_a_range_in_one_file_is_kept_and_one_in_the_other_is_added(machine: Machine) -> None:
    machine.uid.write_text("reader:200000:65536\n")
    machine.gid.write_text("a:100000:65536\n")
    assert machine.setup("reader").startswith("0 ")
    assert machine.lines() == [["reader:200000:65536"], ["a:100000:65536", "reader:165536:65536"]]


def test_a_range_that_is_too_short_is_told_and_left_alone(machine: Machine) -> None:
    machine.uid.write_text("reader:100000:65535\n")
    said = machine.setup("reader")
    assert said.startswith("1 ") and f"reader has a range of 65535 ids in {machine.uid}, and 65536 are needed" in said
    assert machine.uid.read_text() == "reader:100000:65535\n" and not machine.gid.exists()


def test_ids_of_accounts_are_never_given_away(machine: Machine) -> None:
    passwd = "".join(f"user{number}:x:{number}:{number}::/:/bin/sh\n" for number in (100_500, 166_000, 4_294_967_294))
    assert machine.setup("DOMAIN\\me", 231_500, passwd).startswith("0 ")
    assert machine.lines()[0] == ["DOMAIN\\me:231501:65536"], "this user's own number is one of them"


def test_many_users_at_once_get_ranges_of_their_own(machine: Machine) -> None:
    machine.uid.write_text("a:165536:65536\n")
    users = [(f"user{number}", 1000 + number) for number in range(8)] * 2
    with ThreadPoolExecutor(len(users)) as pool:
        said = list(pool.map(lambda user: machine.setup(*user), users))
    assert all(line.startswith("0 ") for line in said)
    for lines in machine.lines():
        names = [line.partition(":")[0] for line in lines if not line.startswith("a:")]
        assert sorted(names) == sorted({name for name, _ in users})
    assert machine.overlaps() == []


def test_without_sudo_it_says_what_root_has_to_write(machine: Machine) -> None:
    machine.uid.write_text("a:100000:65536\n")
    machine.text += "\nhas() { false; }"
    said = machine.setup("reader", sudo="as_root() { false; }")
    assert said.startswith("1 ") and f"let root write reader:165536:65536 into {machine.uid} {machine.gid}" in said


@pytest.mark.parametrize("name", ["plain", 'a"b', "a\\nb", "ä $HOME", "new\nline"])
def test_a_checkout_may_have_any_name(tmp_path: Path, name: str) -> None:
    checkout = tmp_path / name
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/bin/python").symlink_to(sys.executable)
    (checkout / ".venv/bin/jupyter").symlink_to("/bin/true")
    script = f"set -euo pipefail\n{function('say', 'configure_jupyter')}\nconfigure_jupyter"
    subprocess.run(["bash", "-c", script], cwd=checkout, check=True)
    written = json.loads((checkout / ".venv/etc/jupyter/jupyter_server_config.json").read_text())
    assert written == {"ServerApp": {"root_dir": str(checkout)}}
