"""Package builds with real makepkg in real containers, with the programs of this host."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mere_helpers.building import builders
from mere_helpers.building.build import build
from mere_helpers.building.builders import BUILDERS, Build, BuildEnvironment, package_work
from mere_helpers.building.gate import problems
from mere_helpers.building.jobserver import Jobserver
from mere_helpers.building.package_file import package_contents, package_info
from mere_helpers.config import Config
from mere_helpers.errors import BuildError, DifferenceError, PackageError, StoppedError
from mere_helpers.fetching.cache import source_path
from mere_helpers.planning.plan import Plan
from mere_helpers.planning.recipe import Recipe, load_recipe
from mere_helpers.store.store import Entry, Store

from .rooms import CHECKOUT, write_package

pytest_plugins = ("tests.rooms",)
pytestmark = pytest.mark.containers

_SOURCE = b"int main(void) { return 0; }\n"

_PKGBUILD = """\
pkgname={names}
pkgbase={name}
pkgver=1.0
pkgrel=1
pkgdesc='A test'
arch=(x86_64)
url='https://example.org'
license=(MIT)
{more}
"""


class Bench:
    """Recipes written for a test, and built."""

    def __init__(self, config: Config, layers: list[Path]) -> None:
        self.config, self.layers, self.store = config, layers, Store(config)

    def build(
        self,
        name: str,
        more: str,
        *,
        names: str = "",
        files: dict[str, str] | None = None,
        key: str = "",
        layers: list[Path] | None = None,
        surroundings: BuildEnvironment | None = None,
        jobserver: Jobserver | None = None,
        **options: Any,
    ) -> Entry:
        folder = self.config.recipes / "packages" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "PKGBUILD").write_text(_PKGBUILD.format(name=name, names=names or name, more=more))
        for file, text in (files or {}).items():
            (folder / file).write_text(text)
        recipe = load_recipe(self.config, f"packages/{name}")
        for source in recipe.sources:
            path = source_path(self.config, source)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_SOURCE)
        key = key or hashlib.sha256(more.encode()).hexdigest()
        work = package_work(self.config, recipe, self.layers if layers is None else layers, surroundings)
        return build(self.config, self.store, recipe, work, jobserver, key=key, **options)

    def clean(self) -> bool:
        containers = list((self.config.store / "containers").glob("mere-*"))
        return not containers and not any((self.config.work / "entries").iterdir())


@pytest.fixture(scope="module")
def bench(room: Config, busybox: Path, host_tools: list[Path]) -> Bench:
    shutil.copy(CHECKOUT / "recipes/makepkg.conf", room.recipes)
    return Bench(room, [busybox, *host_tools])


def test_split_package_with_sources(bench: Bench, tmp_path: Path) -> None:
    more = f"""
source=(main-$pkgver.c::https://example.org/x.c text)
sha256sums=({hashlib.sha256(_SOURCE).hexdigest()} {hashlib.sha256(b"text").hexdigest()})
build() {{
    gcc -o program main-1.0.c
    echo "makeflags $MAKEFLAGS, pwd $PWD, id $(id -u), home $HOME"
    touch /sources/new && ! echo x > /sources/main-1.0.c
    awk 'BEGIN {{ print substr("/merely", 1, 5) }}'
}}
package_tool() {{ install -Dm755 program "$pkgdir/bin/program"; }}
package_tool-doc() {{ install -Dm644 text "$pkgdir/share/text"; }}
"""
    with Jobserver(bench.config.work, 1) as jobserver:
        entry = bench.build("tool", more, names="(tool tool-doc)", files={"text": "text"}, jobserver=jobserver)
        assert jobserver.free() == 1
    assert sorted(entry.outputs) == ["tool-1.0-1-x86_64.pkg.tar.zst", "tool-doc-1.0-1-x86_64.pkg.tar.zst"]
    package = entry.tree / "tool-1.0-1-x86_64.pkg.tar.zst"
    assert package_contents(package) == ["bin/", "bin/program"]
    info = package_info(package)
    assert (info["pkgname"], info["pkgver"], info["builddate"]) == (["tool"], ["1.0-1"], ["1704067200"])
    log = entry.log.read_text()
    assert "makeflags -j2 --jobserver-auth=fifo:/js/fifo, pwd /build/tool/src, id 0, home /build" in log
    measures = entry.measures
    assert measures["cpu_s"] > 0 and 0 < measures["wall_s"] < 60 and 0 <= measures["overhead_s"] < 5
    assert bench.clean()
    again = bench.build("tool", more, names="(tool tool-doc)", key="again")
    assert again.outputs == entry.outputs and again.output_digest == entry.output_digest


def test_found_in_the_store_the_second_time(bench: Bench) -> None:
    more = 'package() { install -D /dev/null "$pkgdir/share/hello"; }'
    first = bench.build("hello", more)
    assert bench.build("hello", more, layers=[]) == first


#: Its package is another one each time.
_TALKATIVE = """package() {
    cd "$pkgdir"; mkdir share
    echo "$PWD" > share/same
    cat /proc/sys/kernel/random/uuid > share/talkative
}"""


def test_a_build_that_is_not_what_it_was_is_caught_and_named(bench: Bench) -> None:
    first = bench.build("talkative", _TALKATIVE)
    with pytest.raises(
        DifferenceError, match="packages/talkative failed: it is not what packages/talkative is"
    ) as caught:
        bench.build("talkative", _TALKATIVE, key="the second", reference=first)
    line = "talkative-1.0-1-x86_64.pkg.tar.zst: share/talkative differs"
    assert line in str(caught.value) and "share/same differs" not in str(caught.value)
    assert line in Path(str(caught.value.log)).read_text()
    kept = bench.config.store / "failed/packages-talkative/packages"
    assert [file.name for file in kept.iterdir()] == list(first.outputs)
    assert bench.store.find("the second") is None and bench.clean()


def test_a_build_that_is_what_it_was_passes(bench: Bench) -> None:
    more = _below_share('echo "$PWD" > share/same')
    first = bench.build("quiet", more)
    assert bench.build("quiet", more, key="the second of quiet", reference=first).outputs == first.outputs


def test_the_builder_of_the_second_round_holds_it_against_the_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the schedule does it: a reference that nobody gives to `build` is a gate that nobody shuts."""
    first = bench.build("talkative", _TALKATIVE)
    recipes = [load_recipe(bench.config, first.id), Recipe("temptools", "pacman", Path())]
    plan = Plan(bench.config, {recipe.id: recipe for recipe in recipes}, {"installer": "temptools/pacman"})
    monkeypatch.setattr(builders, "root", lambda *arguments, **options: bench.layers)
    with Jobserver(bench.config.work, 1) as jobserver:
        told = Build(bench.config, bench.store, plan, "rebuild/talkative", "round 2", {}, {first.id: first}, jobserver)
        with pytest.raises(DifferenceError, match="rebuild/talkative failed: it is not what packages/talkative is"):
            BUILDERS["rebuild"](told)
    assert bench.store.find("round 2") is None and bench.clean()


def test_surroundings_are_what_they_are_said_to_be(bench: Bench, tmp_path: Path) -> None:
    where = 'echo "$(uname -n) $TZ $(cat /more/file) $(umask)" > share/where'
    more = _below_share(where)
    (tmp_path / "more").mkdir()
    (tmp_path / "more/file").write_text("carried in")
    surroundings = BuildEnvironment(
        "elsewhere", {"TZ": "LINT-14"}, tmp_path / "more", ("sh", "-c", 'echo prelude && umask 077 && exec "$@"', "sh")
    )
    entry = bench.build("where", more, surroundings=surroundings)
    (file,) = entry.tree.iterdir()
    packed = subprocess.run(["tar", "--zstd", "-xOf", file, "share/where"], capture_output=True, text=True, check=True)
    # makepkg has a umask of its own, whatever it was started with.
    assert packed.stdout == "elsewhere LINT-14 carried in 0022\n"
    assert "prelude" in entry.log.read_text()


def test_failure_tells_and_keeps(bench: Bench) -> None:
    with pytest.raises(BuildError) as caught:
        build = "echo state > file; mkdir -m 500 shut; for i in $(seq 30); do echo line $i; done; gcc --no-such"
        bench.build("broken", f"build() {{ {build}; }}\npackage() {{ :; }}")
    message = str(caught.value)
    assert "packages/broken failed: status 4" in message
    assert "line 30" in message and "line 2\n" not in message and "--no-such" in message
    kept = bench.config.store / "failed/packages-broken"
    assert str(kept) in caught.value.hint
    assert (kept / "broken/src/file").read_text() == "state\n"
    assert (kept / "broken/src/file").stat().st_uid == os.getuid()
    assert "line 1\n" in Path(str(caught.value.log)).read_text()
    assert bench.clean()
    entry = bench.build("broken", 'package() { install -D /dev/null "$pkgdir/share/good"; }')
    assert entry.log.exists() and not kept.exists() and not Path(str(caught.value.log)).exists()


def _below_share(commands: str) -> str:
    """A package whose files these commands write below share/, which is a place of packages."""
    return f'package() {{ cd "$pkgdir"; mkdir share; {commands}; }}'


@pytest.mark.parametrize(
    ("name", "more", "complaint"),
    [
        (
            "in-usr",
            'package() { mkdir -p "$pkgdir/usr/bin"; echo x > "$pkgdir/usr/bin/x"; }',
            "usr/bin/x: nothing may be",
        ),
        (
            "setuid",
            _below_share("echo x > share/x; chmod 4755 share/x"),
            "share/x: changes the user or group (mode 4755)",
        ),
        (
            "owner",
            _below_share("echo x > share/x; chown 7:8 share/x"),
            "share/x: belongs to 7:8, not to root",
        ),
        ("path", _below_share("echo /mere/bin/x > share/x"), "share/x: mentions /mere/"),
        (
            "link",
            _below_share("ln -s /mere/bin/x share/x"),
            "share/x: mentions /mere/",
        ),
        (
            "alien",
            _below_share("echo x > share/x; ln -s /etc/passwd /out/alien.pkg.tar.zst"),
            "cannot read out/alien",
        ),
        (
            "extra",
            _below_share("echo x > share/x; echo x > /out/extra"),
            "extra: not a package",
        ),
        (
            "sparse",
            _below_share("echo x > share/x; truncate -s 3G /out/sparse-2-1-x86_64.pkg.tar.zst"),
            "sparse-2-1-x86_64.pkg.tar.zst has 3,221,225,472 bytes",
        ),
        (
            "terminal",
            _below_share("""echo x > share/x; echo x > "/out/$(printf '\\033')]52;c;eA==.pkg.tar.zst\""""),
            r"'\x1b]52;c;eA==.pkg.tar.zst': not a package",
        ),
        ("place", 'package() { echo x > "$pkgdir/nonexistent"; }', "nonexistent: packages install in bin, etc, "),
        (
            "hook",
            'package() { install -D /dev/null "$pkgdir/share/libalpm/hooks/x.hook"; }',
            "share/libalpm/hooks/x.hook: pacman itself would read it",
        ),
    ],
)
def test_what_a_package_must_not_hold(bench: Bench, name: str, more: str, complaint: str) -> None:
    with pytest.raises(BuildError, match="what it made is not right") as caught:
        bench.build(name, more)
    assert complaint in str(caught.value)
    assert bench.clean()


@pytest.mark.parametrize(
    ("name", "file", "about", "complaint"),
    [
        ("liar", "musl-1.0-1-any", "pkgname = liar", "musl-1.0-1-any.pkg.tar.zst: calls itself liar-1.0-1-any.pkg"),
        ("twin", "twin-1.0-1-any", "pkgname = twin", "twin was made twice"),
        ("alias", "alias-1.0-1-any", "pkgname = alias\npkgname=zlib", "the recipe has no package ''"),
        ("old", "old-0.9-1-any", "pkgname = old", "the recipe is version 1.0-1, and it says '0.9-1'"),
        ("machine", "machine-1.0-1-any", "pkgname = machine", "the recipe is for x86_64, and it says 'any'"),
    ],
)
def test_a_package_is_what_its_file_is_called(bench: Bench, name: str, file: str, about: str, complaint: str) -> None:
    about += f"\npkgver = {file.split('-', 1)[1].removesuffix('-any')}\narch = any\n"
    build = f"echo '{about}' > .PKGINFO; bsdtar -cf - .PKGINFO | zstd -cq > /out/{file}.pkg.tar.zst"
    with pytest.raises(BuildError, match="what it made is not right") as caught:
        bench.build(name, f"build() {{ {build}; }}\npackage() {{ :; }}")
    assert complaint in str(caught.value)
    assert bench.clean()


def test_exceptions_are_listed_in_the_recipe(bench: Bench) -> None:
    package = _below_share("echo /mere/bin > share/x; chmod 4755 share/x")
    entry = bench.build("allowed", f"_setuid_ok=(share/x)\n_mere_ok=('share/x*') # why\n{package}")
    assert len(entry.outputs) == 1


def test_package_that_was_not_made(bench: Bench) -> None:
    with pytest.raises(BuildError, match=r"status|not made"):
        bench.build("half", "package_half() { :; }\npackage_other() { exit 1; }", names="(half other)")


def test_time_out_and_stop(bench: Bench) -> None:
    with pytest.raises(BuildError, match="still running after 1 s"):
        bench.build("slow", "build() { sleep 99; }\npackage() { :; }", timeout=1)
    stop = threading.Event()
    with Jobserver(bench.config.work, 1, stop) as jobserver:
        threading.Timer(1, stop.set).start()
        begin = time.monotonic()
        with pytest.raises(StoppedError, match="was stopped"):
            bench.build("slow", "build() { sleep 98; }\npackage() { :; }", jobserver=jobserver)
        assert time.monotonic() - begin < 10
    assert bench.clean()


def test_problems_of_packages_made_by_hand(tmp_path: Path) -> None:
    bad = write_package(
        tmp_path,
        "bad",
        {"lib64/": "", "sbin/x": "", "../out": "", "usr -> .": "", "share/ok": "x" * (1 << 20) + "/store/x"},
    )
    assert problems(bad, ["/store/"]) == [
        "lib64: nothing may be installed in lib64/",
        "sbin/x: nothing may be installed in sbin/",
        "../out: not a plain path below the root",
        "share/ok: mentions /store/",
    ]
    border = write_package(tmp_path, "border", {"share/ok": "x" * ((1 << 20) - 3) + "/store/x"})
    assert problems(border, ["/store/"]) == ["share/ok: mentions /store/"]
    capable = write_package(
        tmp_path, "capable", {"share/x": ""}, headers={"share/x": {"SCHILY.xattr.security.capability": "1"}}
    )
    assert problems(capable, []) == ["share/x: has the attribute SCHILY.xattr.security.capability"]
    hidden = write_package(tmp_path, "hidden", {"./usr/x": ""})
    assert problems(hidden, []) == ["./usr/x: not a plain path below the root"]
    twice = write_package(tmp_path, "twice", {"x": "", "x -> y": ""})
    with pytest.raises(PackageError, match="x is in the package twice"):
        problems(twice, [])
    (tmp_path / "page").write_text("<html>")
    with pytest.raises(PackageError, match="page is not a package"):
        package_contents(tmp_path / "page")
