"""Whatever a build leaves, it is taken as data: refused in plain words, or made harmless, and the next run goes on."""

from __future__ import annotations

import hashlib
import io
import os
import shlex
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from string import Template

import pytest

from mere_helpers.config import Config
from mere_helpers.store.store import Entry, Store

from ..rooms import CHECKOUT
from ..test_package import Bench
from . import outputs
from .child import Ended, in_child
from .doors import TIMEOUT, build
from .outside import Outside
from .score import Score

pytestmark = pytest.mark.containers

#: More than any honest build needs of the library; a log of 1 GiB is one that ended a build.
_MEMORY, _FILE = 700 << 20, (1 << 30) + (256 << 20)

_FILE_NAME = "evil-1.0-1-x86_64.pkg.tar.zst"


def _wrong(ended: Ended, entry: Entry | None, outside: Outside) -> list[str]:
    """What no output may bring about."""
    found = outside.effects(ended.said) + ended.wrong
    if any(ord(letter) < 32 and letter not in "\n\t" for letter in ended.said):
        found.append("the message has control characters, which a terminal obeys")
    for path in sorted(entry.tree.rglob("*")) if entry else ():
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            found.append(f"the store took {path.name}, which is neither file, directory nor link")
        if not stat.S_ISLNK(mode) and mode & 0o6002:
            found.append(f"the store took {path.name} with mode {stat.S_IMODE(mode):04o}")
        if stat.S_ISREG(mode) and path.stat().st_size > 10 << 30:
            found.append(f"the store took {path.name}, of {path.stat().st_size >> 30} GiB")
        if any(name.startswith("user.overlay") for name in os.listxattr(path, follow_symlinks=False)):
            found.append(f"the store took {path.name} with an attribute that hides files of other layers")
    return found


@pytest.mark.parametrize("name", outputs.STEPS)
def test_no_output_of_a_step_does_harm(room: Config, outside: Outside, tool: Entry, score: Score, name: str) -> None:
    # The places as variables, so that the script can be given as it is.
    places = "".join(f"{place}={shlex.quote(value)}\n" for place, value in outside.places.items())
    text = f"build() {{\nset +eu\n{places}{outputs.STEPS[name]}\n}}\npackage() {{ :; }}\n"
    store = Store(room)
    for entry in list(store.entries()):
        if entry.id == "cross/attack":
            store.remove(entry)
    ended = in_child(
        lambda: build(room, text, tools={"cross/probe": tool}).key, seconds=TIMEOUT, memory=_MEMORY, file=_FILE
    )
    entry = next((entry for entry in store.entries() if entry.id == "cross/attack"), None)
    found = _wrong(ended, entry, outside)
    if entry:
        ended = in_child(lambda: store.verify(entry), seconds=TIMEOUT)
        found += [f"afterwards, {wrong}" for wrong in ended.wrong + [ended.error] * bool(ended.error)]
        shutil.rmtree(entry.path, ignore_errors=True)
    found += _next_run(room, lambda: build(room, 'package() { echo good > "$pkgdir/good"; }', name="attack").key)
    score("hostile outputs of steps", found, bad="did harm")


@pytest.fixture(scope="module")
def bench(room: Config, busybox: Path, probe: Path) -> Bench:
    """Builds of packages in which makepkg is a script that comes with the recipe."""
    layer = room.checkout / "makepkg"
    (layer / "bin").mkdir(parents=True)
    (layer / "bin/makepkg").write_text("#!/bin/sh\nexec sh attack.sh\n")
    (layer / "bin/makepkg").chmod(0o755)
    shutil.copy(probe, layer / "bin/probe")
    (layer / "hostile").mkdir()
    for name, data in _archives().items():
        (layer / "hostile" / name).write_bytes(data)
    shutil.copy(CHECKOUT / "recipes/makepkg.conf", room.recipes)
    return Bench(room, [layer, busybox])


def _build(bench: Bench, script: str) -> Entry:
    # Not in the recipe itself, which is read on the host.
    pin = hashlib.sha256(script.encode()).hexdigest()
    more = f"source=(attack.sh)\nsha256sums=({pin})\npackage() {{ :; }}"
    return bench.build("evil", more, files={"attack.sh": script}, timeout=TIMEOUT)


def _archives() -> dict[str, bytes]:
    """Package files, by the names that the scripts have for them."""
    about = b"pkgname = evil\npkgver = 1.0-1\narch = x86_64\n"
    strange = about.replace(b"x86_64", b"x86_64;touch${IFS}mere-mark")
    archives = {
        "good": _package(about),
        "shell": _package(strange),
        "terminal": _package(about.replace(b"x86_64", b"x\x1b[2J")),
        "bytes": _package(about + b"pkgdesc = \xff\xfe\nlicense = \xc3\x28\n"),
    }
    packed = {name: _packed([data]) for name, data in archives.items()}
    packed["half"] = packed["good"][:-20]
    # Two gigabytes each, which are some kilobytes packed.
    header = tarfile.TarInfo(".PKGINFO")
    header.size = 2 << 30
    packed["large"] = _packed([header.tobuf(), *[b"\n" * (1 << 20)] * 2048])
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2 << 30
    packed["header"] = _packed([header.tobuf(), *[b"x" * (1 << 20)] * 2048])
    return packed


def _package(about: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in ((".PKGINFO", about), ("share/good", b"good\n")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _packed(pieces: list[bytes]) -> bytes:
    # Not by a pipe on both sides: it is written to its end before it is read.
    with tempfile.TemporaryFile() as result:
        with subprocess.Popen(["zstd", "-cq", "-1"], stdin=subprocess.PIPE, stdout=result) as packing:
            assert packing.stdin is not None
            for piece in pieces:
                packing.stdin.write(piece)
            packing.stdin.close()
        result.seek(0)
        return result.read()


@pytest.mark.parametrize("name", outputs.PACKAGES)
def test_no_output_of_a_package_build_does_harm(
    room: Config, outside: Outside, bench: Bench, score: Score, name: str
) -> None:
    script = Template(outputs.PACKAGES[name]).safe_substitute(outside.places, file=_FILE_NAME)
    for entry in list(bench.store.entries()):
        if entry.id == "packages/evil":
            bench.store.remove(entry)
    ended = in_child(lambda: _build(bench, script).key, seconds=TIMEOUT, memory=_MEMORY, file=_FILE)
    entry = next((entry for entry in bench.store.entries() if entry.id == "packages/evil"), None)
    kept = room.store / "failed/packages-evil"
    if kept.is_dir() and not kept.is_symlink():
        # As a prompt does that shows the state of a repository.
        subprocess.run(["git", "status"], cwd=kept, capture_output=True)
    found = _wrong(ended, entry, outside)
    for file in sorted(entry.outputs) if entry else ():
        if file != _FILE_NAME:
            found.append(f"the store took a package by the name of {file!r}")
    if entry:
        bench.store.remove(entry)
    found += _next_run(room, lambda: _build(bench, f"cp /hostile/good /out/{_FILE_NAME}"))
    score("hostile outputs of packages", found, bad="did harm")


def _next_run(room: Config, good: Callable[[], object]) -> list[str]:
    """What goes wrong when somebody builds the same again, with nothing hostile in it."""

    def run() -> None:
        Store(room).clean()
        good()

    ended = in_child(run, seconds=TIMEOUT)
    wrong = ended.wrong or ([ended.said[:200]] if ended.error else [])
    if wrong:
        # The others are to find a store that works.
        left = [path for place in ("entries", "trash") for path in (room.work / place).glob("*")]
        left += [room.work / "steps/cross-attack", *(room.store / "failed").glob("*")]
        subprocess.run(["rm", "-rf", *left])
    for entry in list(Store(room).entries()):
        if entry.id in ("cross/attack", "packages/evil"):
            Store(room).remove(entry)
    return [f"the next run: {line}" for line in wrong]
