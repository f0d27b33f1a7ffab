"""From recipes to an installed system, small: two packages by makepkg in containers, installed by pacman; all real."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mere_helpers.building.layers import package_layer
from mere_helpers.building.package_file import package_info
from mere_helpers.config import Config
from mere_helpers.sandbox.sandbox import Bind, Sandbox

from .rooms import CHECKOUT
from .test_package import Bench

pytest_plugins = ("tests.rooms",)
pytestmark = pytest.mark.containers

_LIBRARY = """
build() {
    echo 'const char *greeting(void) { return "hello from two packages"; }' > greet.c
    gcc -shared -fPIC -Wl,-soname,libgreet.so.1 greet.c -o libgreet.so.1
}
package() {
    install -Dm755 libgreet.so.1 "$pkgdir/usr/lib/libgreet.so.1"
    ln -s libgreet.so.1 "$pkgdir/usr/lib/libgreet.so"
    # The host's makepkg does not fold.
    mv "$pkgdir/usr/lib" "$pkgdir/lib"
    rmdir "$pkgdir/usr"
}
"""

_PROGRAM = """
depends=(greet-library)
build() {
    echo 'int puts(const char *); const char *greeting(void); int main(void) { puts(greeting()); return 0; }' > greet.c
    # A declared dependency is there, and nothing else: the library comes out of its package.
    gcc greet.c -L/lib -lgreet -Wl,-rpath,/new/lib -o greet
}
package() { install -Dm755 greet "$pkgdir/bin/greet"; }
"""


def test_two_packages_are_built_and_installed(
    room: Config, busybox: Path, host_tools: list[Path], installer: list[Path]
) -> None:
    shutil.copy(CHECKOUT / "recipes/makepkg.conf", room.recipes)
    tools = [busybox, *host_tools]
    bench = Bench(room, tools)
    (library,) = bench.build("greet-library", _LIBRARY).tree.glob("*.zst")
    layer = package_layer(room, library, installer)
    (program,) = bench.build("greet", _PROGRAM, layers=[layer, *tools]).tree.glob("*.zst")
    assert package_info(program)["depend"] == ["greet-library"]
    # What was in the root is what the package says that it was built with.
    binds = [Bind(library.parent, "/packages/library"), Bind(program.parent, "/packages/program")]
    script = """
        mkdir -p /new/var/lib/pacman
        pacman --root /new --cachedir /tmp --logfile /dev/null --noconfirm -U /packages/program/*.zst 2>&1 && exit 9
        pacman --root /new --cachedir /tmp --logfile /dev/null --noconfirm -U /packages/*/*.zst
        pacman --root /new -Q
        pacman --root /new -Qkk
        pacman --root /new -Qqo /new/bin/greet
        /new/bin/greet
    """
    with Sandbox(room, tools, binds=binds) as container:
        done = container.run(["sh", "-ec", script])
    assert done.code == 0, done.tail
    assert "unable to satisfy dependency 'greet-library' required by greet" in done.tail
    assert "greet 1.0-1\ngreet-library 1.0-1\n" in done.tail
    assert done.tail.count("0 altered files") == 2
    assert done.tail.endswith("greet\nhello from two packages\n")
