"""A system of five recipes that builds itself in rounds, for real and in seconds: makepkg copies what is ready.

PYTEST_DONT_REWRITE: it is a plugin, and what tests import from it is loaded before that.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from mere_helpers.building.scheduler import run
from mere_helpers.config import Config
from mere_helpers.fetching.cache import source_path
from mere_helpers.planning.plan import Plan
from mere_helpers.planning.recipe import load_recipes
from mere_helpers.store.store import Entry, Store
from mere_helpers.verify.digests import digests_of, update

from .rooms import write_package

#: What a recipe does in another place, or once it is told to: make the same again, another file, fail, need
#: 48 MB of the disk, which is more than a test gives it and never more.
ACTIONS = {
    "same": "cp usual /out/$file",
    "differs": "cp other /out/$file",
    "breaks": "echo out of luck; exit 1",
    "floods": "head -c 48m /dev/zero > /build/zero; rm /build/zero; cp usual /out/$file",
}

_MAKE = """\
set -e
file={file}
if [ "$(hostname)" = elsewhere ] || [ -s /sources/switch ]; then
    {action}
else
    cp usual /out/$file
fi
"""

_PKGBUILD = """\
pkgname={name}
pkgver=1
pkgrel=1
pkgdesc='A recipe of the tests'
arch=(x86_64)
url=https://example.org/{name}
license=(MIT)
depends=()
makedepends=()
source=(make.sh usual other https://example.org/switch)
sha256sums=({sums} {switch})
package() {{ :; }}
"""

_BOOTSTRAP = """\
tools = ["temptools/adjust"]
installer = "temptools/adjust"

[base-layout]
default = []
"""

_CALL = [sys.executable, "-m", "mere_helpers"]


class SmallRounds:
    """The checkout and the store of it."""

    def __init__(self, config: Config, busybox: Path) -> None:
        self.config = config
        (config.recipes / "temptools").mkdir()
        (config.recipes / "temptools/adjust.sh").write_text(
            "sources_of=()\nmakedepends=()\nbuild() { :; }\npackage() { :; }\n"
        )
        (config.recipes / "bootstrap.toml").write_text(_BOOTSTRAP)
        (config.recipes / "makepkg.conf").write_text("CARCH=x86_64\n")
        (config.recipes / "variation").mkdir()
        (config.recipes / "variation/prepare.sh").write_text(":\n")
        (busybox / "bin/makepkg").write_text("#!/bin/sh\nexec sh /recipe/make.sh\n")
        (busybox / "bin/makepkg").chmod(0o755)
        self._recipe("base-layout", "same", _packed(busybox))
        for name in ACTIONS:
            self._recipe(name, name)
        self.plan = Plan.from_recipes(config, rounds=3)
        store = Store(config)
        # The host's pacman serves as that of the tools.
        self.tools = store.add(
            "temptools/adjust", self.plan.key("temptools/adjust", {}), {}, lambda room: _tools(room / "out", busybox)
        )
        self.switch(on=False)

    def build(self) -> None:
        """The first two rounds, and the record of their sums."""
        entries = self.entries("rebuild")
        update(self.config, digests_of(load_recipes(self.config).values(), entries.values()))

    def entries(self, stage: str) -> dict[str, Entry]:
        """The builds of a round, by name; built if need be."""
        ids = [id for id in self.plan.order() if id.startswith(f"{stage}/")]
        found = run(self.config, ids, plan=self.plan)
        return {id.partition("/")[2]: found[id] for id in ids}

    def switch(self, *, on: bool) -> None:
        """From now on each recipe does what it is named after, or no longer: nothing in a key knows of it."""
        for recipe in load_recipes(self.config).values():
            for source in recipe.sources:
                path = source_path(self.config, source)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("on" if on else "")

    def command(self, *words: str, before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command line of ours as a user would; `before`, shell commands in a mount namespace of its own."""
        command = [*_CALL, *words]
        if before:
            command = ["unshare", "-m", "sh", "-ec", f'{before}\nexec "$@"', "sh", *command]
        ours = {name: value for name, value in os.environ.items() if not name.startswith("MERE_")}
        ours |= {"MERE_CHECKOUT": str(self.config.checkout), "MERE_STORE": str(self.config.store), "MERE_JOBS": "2"}
        repository = Path(__file__).parent.parent
        return subprocess.run(
            command, capture_output=True, text=True, cwd=repository, env=ours | environment, timeout=300
        )

    def forget(self, stage: str) -> None:
        """Remove the builds of a round from the store."""
        store = Store(self.config)
        for entry in store.entries():
            if entry.id.startswith(f"{stage}/"):
                store.remove(entry)

    @property
    def record(self) -> Path:
        """What the proofs write."""
        return self.config.recipes / "proofs.toml"

    def _recipe(self, name: str, action: str, ready: bytes | None = None) -> None:
        folder = self.config.recipes / "packages" / name
        folder.mkdir(parents=True)
        for file, text in (("usual", "the same"), ("other", "another")):
            made = write_package(folder / "made", name, {f"share/{name}": text})
            (folder / file).write_bytes(ready or made.read_bytes())
        shutil.rmtree(folder / "made")
        (folder / "make.sh").write_text(_MAKE.format(file=made.name, action=ACTIONS[action]))
        sums = " ".join(
            hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in ("make.sh", "usual", "other")
        )
        switch = hashlib.sha256(b"").hexdigest()
        (folder / "PKGBUILD").write_text(_PKGBUILD.format(name=name, sums=sums, switch=switch))


def file_of(name: str) -> str:
    """The package file of a recipe."""
    return f"{name}-1-1-x86_64.pkg.tar.zst"


@pytest.fixture(scope="module")
def rounds(room: Config, busybox: Path) -> SmallRounds:
    """The first two rounds are built, and all sums are recorded."""
    if shutil.which("pacman") is None:
        pytest.skip("no pacman on this host")
    made = SmallRounds(room, busybox)
    made.build()
    return made


def _tools(tree: Path, busybox: Path) -> dict:
    shutil.copytree(busybox, tree, symlinks=True, dirs_exist_ok=True)
    (tree / "mere/bin").mkdir(parents=True)
    # With all that it needs: where it runs there is nothing else.
    libraries = tree / "mere/lib"
    libraries.mkdir()
    program = shutil.which("pacman") or ""
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for path in (program, *re.findall(r"/[^ )]*\.so[^ )]*", linked)):
        shutil.copy(path, libraries)
    loader = next(path.name for path in libraries.glob("ld-*"))
    script = f'#!/bin/sh\nexec /mere/lib/{loader} --library-path /mere/lib /mere/lib/pacman "$@"\n'
    (tree / "mere/bin/pacman").write_text(script)
    (tree / "mere/bin/pacman").chmod(0o755)
    return {}


def _packed(layer: Path) -> bytes:
    """The package base-layout, with all files of a layer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        about = b"pkgname = base-layout\npkgbase = base-layout\npkgver = 1-1\nsize = 1\narch = x86_64\n"
        info = tarfile.TarInfo(".PKGINFO")
        info.size = len(about)
        archive.addfile(info, io.BytesIO(about))
        archive.add(layer / "bin", "bin", filter=_root)
    return subprocess.run(["zstd", "-cq"], input=buffer.getvalue(), capture_output=True, check=True).stdout


def _root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info
