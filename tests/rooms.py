"""What tests of containers share: a store that the root of containers can enter, and small roots for containers."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from mere_helpers.config import Config
from mere_helpers.errors import ContainerError
from mere_helpers.marker import STORE, mark
from mere_helpers.sandbox.idmap import as_mapped_root

CHECKOUT = Path(__file__).parent.parent


@contextmanager
def new_room() -> Iterator[Config]:
    """Settings with an empty store; pytest's own directories are closed to the root of sandboxes."""
    base = Path(tempfile.mkdtemp(prefix="mere-test-", dir="/tmp"))
    base.chmod(0o755)
    (base / "checkout/recipes").mkdir(parents=True)
    for settings in (CHECKOUT / "recipes").glob("*.conf"):
        shutil.copy(settings, base / "checkout/recipes")
    config = Config(checkout=base / "checkout", store=base / "store", sources=base / "store/sources", jobs=2)
    try:
        as_mapped_root(config, ["true"])
    except ContainerError as error:
        shutil.rmtree(base)
        pytest.skip(f"this host lets {os.getuid()} make no containers: {error}")
    # Tests put into it what they like, before anything of ours is there.
    mark(config.store, STORE)
    yield config
    as_mapped_root(config, ["rm", "-rf", base], own=True)


@pytest.fixture(scope="module")
def room() -> Iterator[Config]:
    """A room for all tests of a module."""
    with new_room() as config:
        yield config


@pytest.fixture(scope="module")
def busybox(room: Config) -> Path:
    """A layer with a static busybox under all its names."""
    program = shutil.which("busybox")
    if program is None or b"/ld-" in Path(program).read_bytes()[:4096]:
        pytest.skip("no static busybox on this host")
    layer = room.checkout / "busybox"
    (layer / "bin").mkdir(parents=True)
    shutil.copy(program, layer / "bin/busybox")
    for name in subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if name != "busybox":
            (layer / "bin" / name).symlink_to("busybox")
    return layer


@pytest.fixture(scope="module")
def host_tools(room: Config) -> list[Path]:
    """Layers with the programs of this host, arranged as our system is: all below the root, /usr a link to it."""
    for program in ("makepkg", "pacman", "bsdtar", "zstd"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on this host")
    layer = room.checkout / "host"
    for folder in ("bin", "etc", "var/lib/pacman"):
        (layer / folder).mkdir(parents=True)
    (layer / "usr").symlink_to(".")
    (layer / "etc/pacman.conf").write_text("[options]\nSigLevel = Never\n")
    (layer / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    (layer / "bin/awk").symlink_to("busybox")
    makepkg = Path(shutil.which("makepkg") or "").read_text()
    # As our own makepkg, it has to work as root.
    _script(layer / "bin/makepkg", makepkg.replace("EUID == 0", "EUID == -1"))
    _script(layer / "bin/fakeroot", '#!/bin/bash\n[ "$1" = -v ] && exit\nshift\nFAKEROOTKEY=1 exec "$@"\n')
    return [layer, Path("/usr")]


@pytest.fixture(scope="module")
def installer(room: Config, busybox: Path, host_tools: list[Path]) -> list[Path]:
    """The root in which the host's pacman fills layers."""
    layer = room.checkout / "installer"
    (layer / "mere/bin").mkdir(parents=True)
    (layer / "mere/bin/pacman").write_text('#!/bin/sh\nexec /bin/pacman "$@"\n')
    (layer / "mere/bin/pacman").chmod(0o755)
    return [layer, busybox, *host_tools]


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def write_package(
    folder: Path,
    name: str,
    files: Mapping[str, str | bytes],
    *,
    version: str = "1-1",
    more: str = "",
    headers: dict[str, dict[str, str]] | None = None,
) -> Path:
    """A package file made by hand; a file ``NAME -> TARGET`` is a link, one that ends with a slash a folder.

    `headers` are pax headers by file.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        about = f"pkgname = {name}\npkgbase = {name}\npkgver = {version}\nsize = 1\narch = x86_64\n{more}"
        for path, text in {".PKGINFO": about, **files}.items():
            member = tarfile.TarInfo(path.partition(" -> ")[0])
            member.mode = 0o644
            if path.endswith("/"):
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            elif " -> " in path:
                member.type, member.linkname = tarfile.SYMTYPE, path.partition(" -> ")[2]
            data = text if isinstance(text, bytes) else text.encode()
            member.size = len(data) if member.isreg() else 0
            member.pax_headers = (headers or {}).get(path, {})
            archive.addfile(member, io.BytesIO(data))
    file = folder / f"{name}-{version}-x86_64.pkg.tar.zst"
    file.parent.mkdir(parents=True, exist_ok=True)
    packed = subprocess.run(["zstd", "-cq"], input=buffer.getvalue(), capture_output=True, check=True)
    file.write_bytes(packed.stdout)
    return file
