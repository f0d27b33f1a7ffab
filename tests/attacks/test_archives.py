"""Hostile archives: the gate refuses each, or bsdtar sees in it exactly what our reader sees."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from mere_helpers.building.comparison import payload
from mere_helpers.building.gate import problems
from mere_helpers.building.package_file import build_info, package_contents, package_info
from mere_helpers.errors import PackageError
from mere_helpers.store.archive import DIRECTORY, FILE, HARD_LINK, SYMLINK, Member, inventory

from .archives import END, GOOD, archives, pack, with_checksum

pytestmark = [
    pytest.mark.skipif(shutil.which("bsdtar") is None, reason="no bsdtar on this host"),
    pytest.mark.slow,
]

_LINE = re.compile(r"(\S{10}) +\d+ +\S+ +\S+ +(\d+) \w{3} +\d+ +[\d:]+ (.*)")

#: Those that are no attack: a reader that refuses all would be none.
_HARMLESS = {
    "as it should be",
    "with more zeros",
    "no checksum of the frame",
    "another level",
    "two names that differ in case",
}


def shown(member: Member) -> tuple[str, str, str]:
    """What ``bsdtar -tv`` has to say about a member: mode, size, name and where a link leads."""
    kind = {FILE: stat.S_IFREG, HARD_LINK: stat.S_IFREG, SYMLINK: stat.S_IFLNK, DIRECTORY: stat.S_IFDIR}[member.type]
    mode = stat.filemode(kind | member.mode)
    name = member.name.replace("\\", "\\\\")
    link = member.link.replace("\\", "\\\\")
    if member.type == HARD_LINK:
        return f"h{mode[1:]}", "0", f"{name} link to {link}"
    return mode, str(member.size), f"{name} -> {link}" if link else name


def seen_alike(file: Path, members: dict[str, Member]) -> bool:
    """Does bsdtar see the same members, in the same order, with the same contents?"""
    listed = subprocess.run(["bsdtar", "-tvf", file], capture_output=True, text=True, errors="surrogateescape")
    lines = [_LINE.fullmatch(line) for line in listed.stdout.splitlines()]
    theirs = [(found[1], found[2], re.sub("/$", "", found[3])) for found in lines if found]
    copied = subprocess.run(["bsdtar", "-cf", "-", "--format=newc", f"@{file}"], capture_output=True)
    complaints = listed.returncode or listed.stderr or copied.returncode or copied.stderr
    ours = {name: member.sha256 for name, member in members.items() if member.type == FILE}
    return not complaints and theirs == [*map(shown, members.values())] and contents(copied.stdout) == ours


def contents(archive: bytes) -> dict[str, str]:
    """The sha256 of each file of an archive of cpio."""
    found: dict[str, str] = {}
    place = 0
    while True:
        mode, size, length = (int(archive[place + at : place + at + 8], 16) for at in (14, 54, 94))
        nlink = int(archive[place + 38 : place + 46], 16)
        name = archive[place + 110 : place + 110 + length - 1].decode()
        place += 110 + length + -(110 + length) % 4
        body = archive[place : place + size]
        place += size + -size % 4
        if name == "TRAILER!!!":
            return found
        if stat.S_ISREG(mode) and (body or nlink < 2):
            found[name] = hashlib.sha256(body).hexdigest()


def gate(file: Path) -> list[str]:
    return problems(file, ["/mere/"])


def verdict(file: Path) -> tuple[bool, bool | None]:
    """Whether the gate takes it; and whether bsdtar sees what our reader sees, if that takes it: also where only the
    gate refuses."""
    try:
        wrong = gate(file)
    except PackageError:
        return False, None
    members = inventory(file)
    # An access control list says anew what the mode says, and so every reader has a mode of its own.
    if wrong and any(name.startswith("SCHILY.acl.") for member in members.values() for name in member.attributes):
        return False, None
    return not wrong, seen_alike(file, members)


def judge(files: list[Path]) -> tuple[list[bool], list[bool | None]]:
    with ThreadPoolExecutor(2) as threads:
        verdicts = list(threads.map(verdict, files))
    return [taken for taken, _ in verdicts], [alike for _, alike in verdicts]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each archive as a file, by what is wrong with it."""
    folder, found = tmp_path_factory.mktemp("archives"), {}
    for number, (what, data) in enumerate(archives()):
        assert what not in found
        found[what] = folder / f"hostile{number}-1-1-x86_64.pkg.tar.zst"
        found[what].write_bytes(data)
    return found


def test_the_gate_refuses_hostile_archives_or_two_readers_see_the_same(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    taken, alike = judge([*files.values()])
    with capsys.disabled():
        print(
            f"\nhostile archives: {len(files)} tried, {taken.count(False)} refused by the gate, "
            f"{alike.count(None)} of them unread; {alike.count(True)} seen alike by bsdtar, "
            f"{alike.count(False)} seen differently"
        )
    assert [what for what, same in zip(files, alike, strict=True) if same is False] == []
    assert {what for what, took in zip(files, taken, strict=True) if took} == _HARMLESS
    assert len(files) - len(_HARMLESS) >= 100


#: Those that have to be read to their end before it is clear that they are none.
_UNREADABLE = re.compile("64 MiB|GiB|cut off|nothing|page|dictionary|packed by|two descriptions|2 MiB")


@pytest.mark.parametrize("read", [package_info, build_info, package_contents, payload])
def test_whatever_reads_a_package_refuses_with_a_build_error(
    files: dict[str, Path], read: Callable[[Path], object]
) -> None:
    """But what asks for the description only reads no further than to that, where all may still be well."""
    for what, file in files.items():
        if _UNREADABLE.search(what):
            with suppress(PackageError):
                assert read(file) and read is package_info, what


def damaged(chance: random.Random, number: int) -> bytes:
    """A small package with one to three damages: in its headers, which stay valid otherwise; anywhere; or packed."""
    archive = bytearray(GOOD + END)
    packed = bytearray(pack(bytes(archive)))
    headers = [place for place in range(0, len(archive), 512) if archive[place + 257 : place + 262] == b"ustar"]
    kind = number % 3
    target = packed if kind == 2 else archive
    for _ in range(chance.randint(1, 3)):
        # Half of them where something is written, and with something that means something there.
        place = chance.choice(headers) + chance.choice([*range(157), *range(257, 345)]) if kind == 0 else -1
        place = chance.randrange(len(target)) if place < 0 else place
        byte = chance.choice([*b"0172x5gLKS/. -\0\xff\x80", chance.randrange(256)])
        match chance.randrange(1 if kind == 0 else 5):
            case 0 | 1:
                target[place] = byte
            case 2:
                target[place:place] = target[place // 512 * 512 :][:512]
            case 3:
                del target[place : place + chance.choice([1, 512, 1024])]
            case 4:
                del target[place:]
        if not target:
            break
    if kind == 0:
        for place in headers:
            archive[place : place + 512] = with_checksum(bytes(archive[place : place + 512]))
    return bytes(packed) if kind == 2 else pack(bytes(archive))


def test_damage_at_random_is_a_build_error_or_seen_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random("archives")
    files = []
    for number in range(300):
        files.append(tmp_path / f"damaged{number}-1-1-x86_64.pkg.tar.zst")
        files[-1].write_bytes(damaged(chance, number))
    taken, alike = judge(files)
    with capsys.disabled():
        print(
            f"\ndamaged packages: {len(files)} tried, {taken.count(False)} refused by the gate, "
            f"{alike.count(None)} of them unread; {alike.count(True)} seen alike by bsdtar, "
            f"{alike.count(False)} seen differently"
        )
    assert [file.name for file, same in zip(files, alike, strict=True) if same is False] == []
    assert True in alike and None in alike
