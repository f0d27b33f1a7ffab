"""The toy world: a checkout of small recipes and two short chapters, and what every run in it is told."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import nbformat

from mere_helpers.config import EPOCH, Config, load_config

CHECKOUT = Path(__file__).parent.parent.parent

_TOYS = Path(__file__).with_name("toys")
_ARCHIVE = "alpha-1.0.tar.gz"

#: What `build` of the command line does, but for the checks of the host: a small disk is what some trials are about.
_BUILD = """
import sys
from mere_helpers import build, fetch
from mere_helpers.errors import MereError
try:
    fetch()
    build("cross", "temptools", "packages", "rebuild")
except MereError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""

#: Chapters, each with a kernel of its own.
_CHAPTERS = {
    "01-tools": ["from mere_helpers import build, fetch", "fetch()", 'build("cross")', 'build("temptools")'],
    "02-packages": ["from mere_helpers import build", 'build("packages")', 'build("rebuild")'],
}


@dataclass(frozen=True)
class World:
    """Where the toy checkout is, and where a run puts what it builds."""

    checkout: Path
    store: Path
    jobs: int = 2

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a run; nothing of the caller's settings is in it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MERE_")}
        return kept | {
            "MERE_CHECKOUT": str(self.checkout),
            "MERE_STORE": str(self.store),
            "MERE_MIRRORS": str(self.checkout / "mirror"),
            "MERE_OFFLINE": "1",
            "MERE_JOBS": str(self.jobs),
            "PYTHONPATH": str(CHECKOUT),
        }

    @property
    def config(self) -> Config:
        """The settings of a run, for those who look at its store."""
        return load_config(self.environment)

    def command(self, *, book: bool) -> list[str]:
        """The program that builds the whole world: as the chapters do it, or all at once."""
        return [sys.executable, "-m", "mere_helpers", "run"] if book else [sys.executable, "-c", _BUILD]


def make_world(folder: Path, store: Path) -> World:
    """Write the toy checkout into an empty directory."""
    shutil.copytree(_TOYS, folder)
    for name in ("container.conf", "makepkg.conf"):
        shutil.copy(CHECKOUT / "recipes" / name, folder / "recipes")
    for settings in (CHECKOUT / "recipes").glob("*"):
        # Whatever else the real recipes say of containers; digests and proofs are about the real packages only.
        if settings.is_file() and settings.suffix != ".toml" and not (folder / "recipes" / settings.name).exists():
            shutil.copy(settings, folder / "recipes")
    archive = _archive()
    (folder / "mirror").mkdir()
    (folder / "mirror" / _ARCHIVE).write_bytes(archive)
    recipe = folder / "recipes/packages/alpha/PKGBUILD"
    recipe.write_text(recipe.read_text().replace("@alpha@", hashlib.sha256(archive).hexdigest()))
    _write_chapters(folder)
    return World(folder, store)


def _archive() -> bytes:
    """The source of the package alpha: a few small files, and a larger one that does not shrink."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        noise = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(20000))
        for name, data in {"noise": noise, **{f"file-{number}": b"%d\n" % number for number in range(40)}}.items():
            member = tarfile.TarInfo(f"alpha-1.0/{name}")
            member.size, member.mtime, member.mode = len(data), EPOCH, 0o644
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(plain.getvalue(), mtime=0)


def _write_chapters(folder: Path) -> None:
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    toc = ["format: jb-book", "root: index", "parts:", "  - caption: Toys", "    chapters:"]
    for chapter, cells in _CHAPTERS.items():
        notebook = nbformat.v4.new_notebook()
        for number, source in enumerate(cells, start=1):
            notebook.cells.append(nbformat.v4.new_code_cell(source, id=f"{chapter[:2]}-{number:02}"))
        nbformat.write(notebook, notebooks / f"{chapter}.ipynb")
        toc.append(f"      - file: notebooks/{chapter}")
    (folder / "_toc.yml").write_text("\n".join(toc) + "\n")
