"""Steps on the host: real namespaces, tiny recipes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mere_helpers.building.build import build as run_build
from mere_helpers.building.builders import step_work
from mere_helpers.building.jobserver import Jobserver
from mere_helpers.config import Config
from mere_helpers.errors import BuildError, SourceError, StoppedError, StoreError
from mere_helpers.fetching.cache import source_path
from mere_helpers.planning.recipe import Recipe, Source
from mere_helpers.store.store import Entry, Store

from .rooms import new_room

pytestmark = pytest.mark.containers


@pytest.fixture
def config() -> Iterator[Config]:
    with new_room() as config:
        yield config


@pytest.fixture
def store(config: Config) -> Store:
    return Store(config)


@pytest.fixture
def step(config: Config, store: Store) -> Callable[..., Entry]:
    """Build a step of this text."""

    def build(
        text: str,
        *,
        name: str = "hello",
        sources: tuple[Source, ...] = (),
        files: tuple[Path, ...] = (),
        makedepends: tuple[str, ...] = (),
        tools: dict[str, Entry] | None = None,
        config: Config = config,
        jobserver: Jobserver | None = None,
        timeout: float | None = None,
    ) -> Entry:
        path = config.checkout / f"{name}.sh"
        path.write_text(text)
        recipe = Recipe("cross", name, path, "", (), "", "", (), {}, makedepends, sources, (path, *files))
        key = hashlib.sha256((name + text).encode()).hexdigest()
        work = step_work(config, recipe, tools or {})
        return run_build(config, store, recipe, work, jobserver, key=key, timeout=timeout)

    return build


def cached(config: Config, name: str, data: bytes) -> Source:
    """A source file that lies in the cache."""
    source = Source(name, None, hashlib.sha256(data).hexdigest(), (), "packages/a")
    path = source_path(config, source)
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return source


def test_output_is_what_package_left(step: Callable[..., Entry], config: Config) -> None:
    entry = step(
        'prepare() { echo 1 > a; }; build() { cat a > b; }; package() { cp b "$pkgdir/c"; ln -s c "$pkgdir/d"; }'
    )
    assert entry.outputs.keys() == {"c"} and entry.meta["links"] == {"d": "c"}
    assert (entry.tree / "c").read_text() == "1\n"
    assert entry.log.read_text() == "==> prepare\n==> build\n==> package\n"
    assert entry.measures.keys() == {"wall_s", "cpu_s", "peak_bytes", "started", "ended", "overhead_s"}
    assert entry.measures["peak_bytes"] >= 0
    assert not _sandboxes(config) and not list(config.logs.iterdir())


def test_processor_time_is_counted(step: Callable[..., Entry]) -> None:
    entry = step("build() { for ((i = 0; i < 100000; i++)); do :; done; }; package() { (build); }")
    assert 0.05 < entry.measures["cpu_s"] <= 2 * entry.measures["wall_s"]


def test_environment_is_clean_and_the_same_everywhere(step: Callable[..., Entry], monkeypatch) -> None:
    monkeypatch.setenv("CFLAGS", "-march=native")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nowhere")
    entry = step("build() { env; umask; id -u; cat /proc/net/dev; }; package() { :; }")
    log = entry.log.read_text()
    assert "march" not in log and "nowhere" not in log
    for line in ("srcdir=/mnt/src", "pkgdir=/mnt/pkg", "tools=/mnt/tools", "LC_ALL=C", "TZ=UTC", "MAKEFLAGS=-j2",
                 "SOURCE_DATE_EPOCH=1704067200", "target=x86_64-mere-linux-musl", "0022", "1000"):  # fmt: skip
        assert line in log.splitlines()
    assert [line.split(":")[0].strip() for line in log.splitlines() if ":" in line and "|" not in line][-1] == "lo"


def test_sources_are_unpacked_and_files_copied(step: Callable[..., Entry], config: Config, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    sources = []
    for end in ("tar.gz", "tar.xz", "tar.bz2", "txt"):
        made = tmp_path / f"a-{end}.{end}"
        if end == "txt":
            made.write_text("plain")
        else:
            with tarfile.open(made, f"w:{end[4:]}") as archive:
                archive.add(tmp_path / "a", f"a-{end}/a")
        sources.append(cached(config, made.name, made.read_bytes()))
    patch = tmp_path / "fix.patch"
    patch.write_text("fix")
    entry = step(
        'build() { :; }; package() { cp -r * "$pkgdir"; }', sources=tuple(sources), files=(patch,)
    )  # fmt: skip
    assert entry.outputs.keys() == {"a-tar.gz/a", "a-tar.xz/a", "a-tar.bz2/a", "a-txt.txt", "fix.patch"}


def test_missing_source_is_named(step: Callable[..., Entry]) -> None:
    with pytest.raises(SourceError, match=r"a\.tar\.gz is not in the cache"):
        step("build() { :; }; package() { :; }", sources=(Source("a.tar.gz", None, "0", (), "packages/a"),))


@pytest.mark.parametrize("name", ["a.txt", "a.tar"])
def test_a_source_that_has_changed_is_not_built(step: Callable[..., Entry], config: Config, name: str) -> None:
    source = cached(config, name, b"good")
    source_path(config, source).write_bytes(b"evil")
    with pytest.raises(SourceError, match=f"{name} has changed in the cache"):
        step("build() { :; }; package() { :; }", sources=(source,))


def test_failure_shows_the_end_of_the_log_and_keeps_the_folder(step: Callable[..., Entry], config: Config) -> None:
    text = "build() { echo kept > file; for i in {1..50}; do echo line $i; done; false; echo on; }; package() { :; }"
    with pytest.raises(BuildError) as caught:
        step(text)
    error = caught.value
    assert error.message.startswith("cross/hello failed in build: status 1\n  | line 31\n")
    assert error.message.endswith("line 50")
    assert error.log == config.logs / "cross-hello.log" and "line 1\n" in error.log.read_text()
    kept = config.store / "failed" / "cross-hello"
    assert str(kept) in error.hint and (kept / "src" / "file").read_text() == "kept\n"
    step("build() { :; }; package() { :; }")
    assert not kept.exists() and not error.log.exists()


def test_tools_are_the_union_of_the_dependencies(step: Callable[..., Entry], store: Store) -> None:
    install = 'build() { :; }; package() { install -D /dev/stdin "$pkgdir/mere/bin/%s" <<< "echo I am %s"; }'
    one = step(install % ("one", "one"), name="one")
    two = step(install % ("two", "two"), name="two")
    tools = {"cross/one": one, "cross/two": two}
    text = """
build() { bash "$tools/mere/bin/one"; two; echo changed > new; cp --remove-destination new "$tools/mere/bin/two"; }
package() { touch "$tools/mere/bin/three"; ! echo hi > "$tools/mere/bin/one"; }
"""
    entry = step(text, tools=tools)
    assert "I am one\n" in entry.log.read_text() and "I am two\n" in entry.log.read_text()
    assert "Permission denied" in entry.log.read_text()
    store.verify(one)
    store.verify(two)


def test_clash_of_tools_is_named(step: Callable[..., Entry]) -> None:
    text = 'build() { :; }; package() { echo "$RANDOM" > "$pkgdir/same"; }'
    tools = {"cross/one": step(text, name="one"), "cross/two": step(text, name="two")}
    with pytest.raises(StoreError, match="has same as well as cross/two"):
        step("build() { :; }; package() { :; }", tools=tools)


def test_what_a_step_does_to_its_tools_changes_nothing_outside(step: Callable[..., Entry], store: Store) -> None:
    one = step('build() { :; }; package() { mkdir "$pkgdir/a"; echo 1 > "$pkgdir/a/one"; }', name="one")
    text = """
build() {
    chmod u+w "$tools/a/one" && exit 1
    echo 2 > "$tools/a/one" && exit 1
    ln "$tools/a/one" "$pkgdir/one" && exit 1
    rm "$tools/a/one"
    echo 2 > "$tools/a/one"
    cat "$tools/a/one"
    rm -r "$tools/a"
    mkdir "$tools/a"
    ls -A "$tools/a"
}
package() { :; }
"""
    entry = step(text, tools={"cross/one": one})
    assert entry.log.read_text().splitlines()[-2:] == ["2", "==> package"]
    assert not entry.outputs
    store.verify(one)
    assert store.find(one.key) == one


def test_clean_up_of_an_earlier_chapter_leaves_the_tools_of_a_running_step_alone(
    step: Callable[..., Entry], store: Store, config: Config
) -> None:
    one = step('build() { :; }; package() { echo 1 > "$pkgdir/one"; }', name="one")
    # Files there may have a second name in the store, as those of the first edition had.
    left = config.work / "steps" / "make"
    (left / "tools").mkdir(parents=True)
    os.link(one.tree / "one", left / "tools/one")
    # The next chapter's kernel starts while the next step is at work with the same tools.
    script = f"""
from pathlib import Path
from mere_helpers.config import Config
from mere_helpers.store.store import Store
Store(Config(Path(), Path({str(config.store)!r}), Path())).clean()
"""

    def start_chapter() -> None:
        subprocess.run([sys.executable, "-c", script], check=True)

    cleaning = threading.Timer(0.2, start_chapter)
    cleaning.start()
    step("build() { sleep 2; }; package() { :; }", tools={"cross/one": one})
    cleaning.join()
    assert not left.exists()
    assert store.find(one.key) == one
    store.verify(one)


def _sandboxes(config: Config) -> list[Path]:
    return list((config.store / "containers").glob("mere-*"))


def _processes(marker: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
        except OSError:
            pass
    return found


def _await(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_time_limit_ends_all_processes(step: Callable[..., Entry], config: Config) -> None:
    text = "build() { setsid sleep 1234.5 & sleep 1234.5; }; package() { :; }"
    with pytest.raises(BuildError, match=r"in build: still running after 5 s"):
        step(text, timeout=5)
    _await(lambda: not _processes("1234.5"))
    assert (config.store / "failed" / "cross-hello").is_dir()


def test_stop_ends_all_processes_and_keeps_nothing(step: Callable[..., Entry], config: Config) -> None:
    with Jobserver(config.work / "jobs", 1) as jobserver:
        threading.Timer(0.5, jobserver.stop.set).start()
        with pytest.raises(StoppedError, match="was stopped"):
            step("build() { sleep 2345.5; }; package() { :; }", jobserver=jobserver)
    assert not _processes("2345.5")
    assert not (config.store / "failed").exists() and not _sandboxes(config)


def test_killed_run_leaves_no_process_and_can_be_repeated(step: Callable[..., Entry], config: Config) -> None:
    script = f"""
from pathlib import Path
from mere_helpers.config import Config
from mere_helpers.planning.recipe import Recipe
from mere_helpers.building.build import build
from mere_helpers.building.builders import step_work
from mere_helpers.store.store import Store
folder = Path({str(config.checkout)!r})
config = Config(folder, folder.parent / "store", folder.parent / "store" / "sources")
path = folder / "slow.sh"
path.write_text("build() {{ setsid sleep 3456.5; }}; package() {{ :; }}")
recipe = Recipe("cross", "hello", path, "", (), "", "", (), {{}}, (), (), (path,))
build(config, Store(config), recipe, step_work(config, recipe, {{}}), None, key="k" * 64)
"""
    with subprocess.Popen([sys.executable, "-c", script]) as run:
        try:
            _await(lambda: _processes("3456.5"))
        finally:
            run.kill()
    _await(lambda: not _processes("3456.5"))
    assert _sandboxes(config)
    step("build() { :; }; package() { :; }")
    assert not _sandboxes(config)


def test_make_of_ours_gets_the_jobserver(step: Callable[..., Entry], config: Config) -> None:
    make = step('build() { :; }; package() { install -D /dev/null "$pkgdir/mere/bin/make"; }', name="make")
    text = 'build() { echo "$MAKEFLAGS"; read -rn1 token < /mnt/jobs/fifo; echo "got $token"; }; package() { :; }'
    with Jobserver(config.work / "jobs", 1) as jobserver:
        entry = step(text, tools={"cross/make": make}, jobserver=jobserver)
        # It has kept the token, and the pool has it back nevertheless.
        assert jobserver.free() == 1
    assert "-j2 --jobserver-auth=fifo:/mnt/jobs/fifo\ngot +" in entry.log.read_text()


@pytest.mark.parametrize(("makedepends", "said"), [((), "cc-5 c++-5"), (("cross/gcc",), "none none")])
def test_compilers_of_the_host_are_for_what_ours_does_not_compile(
    step: Callable[..., Entry], config: Config, makedepends: tuple[str, ...], said: str
) -> None:
    text = 'build() { echo "${CC:-none} ${CXX:-none}"; }; package() { :; }'
    other = replace(config, compilers=("cc-5", "c++-5", "version 5"))
    assert said in step(text, makedepends=makedepends, config=other).log.read_text().splitlines()
    assert "none none" in step(text, name="usual").log.read_text().splitlines()
