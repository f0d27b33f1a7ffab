"""No package reaches the host while its layer is made, whatever is in it."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path
from string import Template

import pytest

from mere_helpers.config import Config

from ..rooms import write_package
from .child import in_child
from .doors import TIMEOUT, layer
from .layers import PACKAGES, Package
from .outside import Outside
from .score import Score

pytestmark = pytest.mark.containers

#: What a program that is run tries first as it is, then outside of the folder that pacman was given for a root.
_LIST = """inet tcp $tcp
inet udp $udp
unix $abstract
break-out read $vartmp/file
break-out write $vartmp/file evil
break-out unix $vartmp/bus
break-out write /tmp/$mark-layer evil
break-out read $store/key/secret
stay
"""

_KINDS = {
    "file": tarfile.REGTYPE, "program": tarfile.REGTYPE, "set-uid": tarfile.REGTYPE, "link": tarfile.SYMTYPE,
    "hard": tarfile.LNKTYPE, "folder": tarfile.DIRTYPE, "fifo": tarfile.FIFOTYPE, "char": tarfile.CHRTYPE,
}  # fmt: skip


@pytest.fixture(scope="module")
def other(room: Config, installer: list[Path], outside: Outside) -> Path:
    """The layer of another package."""
    package = write_package(room.store / "files", "other", {"bin/": "", "bin/other": "1\n"})
    made = layer(room, package, installer)
    outside.watch(made)
    return made


def hostile(folder: Path, package: Package, places: dict[str, str], program: bytes) -> Path:
    """Write a package with all kinds of members, under names that no makepkg gives."""

    def known(text: str) -> str:
        return Template(text).safe_substitute(places)

    buffer = io.BytesIO()
    about = f"pkgname = {package.name}\npkgbase = evil\npkgver = {package.version}\nsize = 1\narch = x86_64\n"
    about += package.about
    tried = "".join(f"{number}\t{line}\n" for number, line in enumerate(_LIST.splitlines()))
    more = (("file", ".PKGINFO", about), ("file", "attack.list", tried))
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for kind, name, *rest in (*more, *package.members):
            text = known(rest[0] if rest else "")
            member = tarfile.TarInfo(known(name))
            member.type = _KINDS[kind]
            member.mode = {"file": 0o644, "fifo": 0o644, "set-uid": 0o4755}.get(kind, 0o755)
            data = program if kind in ("program", "set-uid") else text.encode()
            if kind in ("link", "hard"):
                member.linkname = text
            if kind == "char":
                member.devmajor, member.devminor = map(int, text.split(","))
            member.size = len(data) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(data))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "evil-1-1-x86_64.pkg.tar.zst"
    file.write_bytes(subprocess.run(["zstd", "-cq"], input=buffer.getvalue(), capture_output=True, check=True).stdout)
    return file


@pytest.mark.parametrize("name", PACKAGES)
def test_no_way_out_through_a_layer(
    room: Config, outside: Outside, installer: list[Path], other: Path, probe: Path,
    score: Score, name: str,
) -> None:  # fmt: skip
    places = outside.places | {"other": other.name}
    package = hostile(room.store / "files" / "evil", PACKAGES[name], places, probe.read_bytes())
    before = set((room.store / "layers").iterdir())
    ended = in_child(lambda: str(layer(room, package, installer)), seconds=TIMEOUT)
    found = outside.effects(ended.said) + ended.wrong
    for made in set((room.store / "layers").iterdir()) - before:
        found += _strange(made, places)
    score("escapes through layers", found)


def _strange(made: Path, places: dict[str, str]) -> list[str]:
    """What a layer must not be, whatever was installed."""
    found = []
    if made.is_symlink():
        return [f"the layer is a link to {made.readlink()}"]
    for path in made.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.samefile(Path(places["vartmp"], "file")):
            found.append(f"{path.name} is a file of the host")
        if (path.is_block_device() or path.is_char_device()) and not path.is_symlink():
            found.append(f"{path.name} is a device")
        if not path.is_symlink() and path.is_file() and path.stat().st_mode & 0o6000 and os.getuid() == 0:
            # Somebody else on the host, who is nobody to us, must not become the root of containers by it.
            command = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", path, "no-new-privileges"]
            if subprocess.run(command, capture_output=True).stdout:
                found.append(f"anybody on the host can run {path.name} as another user")
    return found


def test_a_file_name_is_no_command(
    room: Config, outside: Outside, installer: list[Path], probe: Path, score: Score
) -> None:
    package = hostile(room.store / "files" / "evil", Package((("file", "x", ""),)), outside.places, probe.read_bytes())
    names = ("--config=x", "$(touch ${HOME}mere-mark)", "a;touch mere-mark-x;", "a'\"`touch mere-mark`", "%n\n--root=x")
    for name in names:
        file = package.with_name(f"{name}-1-1-x86_64.pkg.tar.zst".replace("/", ""))
        package.rename(file)
        package = file
        ended = in_child(lambda file=file: str(layer(room, file, installer)), seconds=TIMEOUT)
        score("escapes through layers", outside.effects(ended.said) + ended.wrong)
