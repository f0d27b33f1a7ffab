"""A small checkout and an empty store, fresh for each test."""

from __future__ import annotations

import hashlib
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from mere_helpers.config import Config, load_config
from mere_helpers.errors import ContainerError
from mere_helpers.sandbox.idmap import as_mapped_root

from .apt import apt as apt

# A script that starts us in the background lets us ignore Ctrl-C, and all that we start; many tests are about it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_STEP = """\
sources_of=({sources_of})
makedepends=({makedepends})

build() {{ :; }}

package() {{
    mkdir -p "$pkgdir/mere"
}}
"""

_PACKAGE = """\
pkgname={name}
pkgver=1.0
pkgrel=1
pkgdesc='The {name} of the tests'
arch=(x86_64)
url='https://example.org/{name}'
license=(MIT)
depends=({depends})
makedepends=({makedepends})
{more}
package() {{
    # Comments stay.
    echo {name} > "$pkgdir/{name}"
}}
"""

_BOOTSTRAP = """\
tools = ["temptools/adjust", "cross/make"]
installer = "temptools/adjust"

[build-essential]
default = ["base-layout", "musl"]
base-layout = []
musl = ["base-layout"]
"""


def sha256(text: str) -> str:
    """The pin of a file with this text."""
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(autouse=True)
def _no_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that a whole run was given is nothing to the builds of a test."""
    monkeypatch.delenv("MERE_DEADLINE", raising=False)
    monkeypatch.delenv("MERE_BUDGET", raising=False)


@pytest.fixture
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store for all that reads its settings from the environment, whatever was set there before."""
    for name in ("MERE_SOURCES", "MERE_SUBSTITUTES", "MERE_SUBSTITUTES_KEY", "MERE_MIRRORS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MERE_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def open_store(own_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same, where sandboxes can be made: pytest's own directories are closed to their root."""
    base = Path(tempfile.mkdtemp(prefix="mere-test-", dir="/tmp"))
    base.chmod(0o755)
    monkeypatch.setenv("MERE_STORE", str(base / "store"))
    yield base / "store"
    # What the root of sandboxes has made there is not ours to remove.
    with suppress(ContainerError):
        as_mapped_root(load_config(), ["rm", "-rf", base], own=True)
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def add_step(tmp_path: Path) -> Callable[..., Path]:
    """Write a step into the checkout: ``add_step("cross/make", sources_of="", makedepends="")``."""

    def add(id: str, *, sources_of: str = "", makedepends: str = "") -> Path:
        path = tmp_path / "checkout" / "recipes" / f"{id}.sh"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_STEP.format(sources_of=sources_of, makedepends=makedepends))
        return path

    return add


@pytest.fixture
def add_package(tmp_path: Path) -> Callable[..., Path]:
    """Write a package into the checkout: ``add_package("zlib", depends="musl", more="...")``."""

    def add(
        name: str, *, depends: str = "", makedepends: str = "build-essential", more: str = "", text: str | None = None
    ) -> Path:
        path = tmp_path / "checkout" / "recipes" / "packages" / name / "PKGBUILD"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or _PACKAGE.format(name=name, depends=depends, makedepends=makedepends, more=more))
        return path

    return add


@pytest.fixture
def config(tmp_path: Path, add_step: Callable[..., Path], add_package: Callable[..., Path]) -> Config:
    """A checkout with two steps, ``cross/make`` and ``temptools/adjust``, and seven packages; an empty store.

    ``build-essential`` needs ``make`` when it is used, ``make`` needs ``musl``, ``musl`` needs ``base-layout``.
    ``zlib`` has a source to fetch and a patch. ``gcc`` is split: ``gcc`` needs ``gcc-libs``, that needs ``musl``.
    """
    checkout = tmp_path / "checkout"
    add_step("cross/make", sources_of="make")
    add_step("temptools/adjust", makedepends="cross/make")
    add_package("base-layout")
    add_package("musl", depends="base-layout")
    add_package(
        "make",
        depends="musl",
        more=f"source=(make_4.4.1.orig.tar.xz)\nsha256sums=({sha256('make')})\n_debian=(make-dfsg=4.4.1-2)",
    )
    zlib = add_package(
        "zlib",
        depends="musl",
        more=f"source=(https://example.org/zlib-$pkgver.tar.gz fix.patch)\n"
        f"sha256sums=({sha256('zlib')} {sha256('fix')})\n_debian=(zlib=1:1.0-1)",
    )
    (zlib.parent / "fix.patch").write_text("fix")
    add_package(
        "gcc",
        text="""\
pkgbase=gcc
pkgname=(gcc gcc-libs)
pkgver=14.2.0
pkgrel=2
epoch=1
arch=(x86_64)
url='https://example.org/gcc'
license=('GPL-3.0-or-later WITH GCC-exception-3.1' LGPL-2.1-or-later)
depends=(musl)
makedepends=(build-essential zlib)

build() {
    make
}

package_gcc() {
    pkgdesc='The compiler'
    depends+=(gcc-libs
              'zlib>=1.0')  # two more
    make install
}

package_gcc-libs() {
    pkgdesc='Its libraries'
    license+=(MIT)
    depends=("musl")
    make install-libs
}
""",
    )
    add_package("hello", depends="gcc-libs")
    add_package("build-essential", depends="base-layout musl make", makedepends="")
    (checkout / "recipes" / "bootstrap.toml").write_text(_BOOTSTRAP)
    (checkout / "recipes" / "makepkg.conf").write_text("CARCH=x86_64\n")
    store = tmp_path / "store"
    return Config(checkout=checkout, store=store, sources=store / "sources", jobs=2)


@pytest.fixture
def front_end(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A front end looks on; what is returned is the kernel, in which it has opened a subshell."""
    manager = SimpleNamespace(list_subshell=lambda: ["subshell"])
    kernel = SimpleNamespace(shell_channel_thread=SimpleNamespace(manager=manager))
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=kernel))
    monkeypatch.setenv("JPY_SESSION_NAME", "test.ipynb")
    monkeypatch.delenv("MERE_HEADLESS", raising=False)
    return kernel
