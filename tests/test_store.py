"""The store: killed writers, several writers, full and read-only disks, damaged entries."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from mere_helpers.config import Config
from mere_helpers.errors import StoreError
from mere_helpers.files import digest
from mere_helpers.locks import Locks
from mere_helpers.store.store import Entry, Store

from .test_tree import nest

KEY = "k" * 64

_WRITER = """
import sys, time
from pathlib import Path
from mere_helpers.config import Config
from mere_helpers.store.store import Store
store = Path(sys.argv[1])
def produce(folder):
    for number in range(200):
        (folder / "out" / str(number)).write_text("x" * 10000)
    print("writing", flush=True)
    return {}
Store(Config(store.parent, store, store / "sources")).add("packages/a", sys.argv[2], {}, produce)
print("done", flush=True)
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path, tmp_path / "store", tmp_path / "store" / "sources")


@pytest.fixture
def store(config: Config) -> Store:
    return Store(config)


def fill(folder: Path, text: str = "hello") -> dict:
    (folder / "out" / "bin").mkdir()
    (folder / "out" / "bin" / "hello").write_text(text)
    (folder / "out" / "bin" / "hi").symlink_to("hello")
    (folder / "log").write_text("all went well")
    return {"wall_s": 1.0, "cpu_s": 2.0}


def test_what_is_added_is_found(store: Store) -> None:
    assert store.find(KEY) is None
    entry = store.add("packages/a", KEY, {"recipe": "1"}, fill)
    assert store.find(KEY) == entry
    assert store.latest("packages/a") == entry
    assert list(store.entries()) == [entry]
    assert entry.outputs["bin/hello"].size == 5
    assert entry.log.read_text() == "all went well"
    assert entry.measures["cpu_s"] == 2.0 and entry.measures["overhead_s"] >= 0
    assert entry.meta["inputs"] == {"recipe": "1"}
    assert (entry.tree / "bin" / "hello").stat().st_mode & 0o222 == 0
    store.verify(entry)


def test_digest_depends_on_outputs_only(store: Store) -> None:
    first = store.add("packages/a", "1" * 64, {}, fill)
    same = store.add("packages/a", "2" * 64, {"more": 1}, fill)
    other = store.add("packages/a", "3" * 64, {}, lambda folder: fill(folder, "Hello"))
    assert first.output_digest == same.output_digest != other.output_digest
    assert store.latest("packages/a") == other
    store.remember(first)
    assert store.latest("packages/a") == first


def test_what_is_there_is_not_built_again(store: Store) -> None:
    entry = store.add("packages/a", KEY, {}, fill)
    assert store.add("packages/a", KEY, {}, lambda folder: pytest.fail("built again")) == entry


def test_failed_builder_leaves_nothing(store: Store) -> None:
    def fail(folder: Path) -> dict:
        fill(folder)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        store.add("packages/a", KEY, {}, fail)
    assert store.find(KEY) is None
    assert not list((store.config.work / "entries").iterdir())
    store.add("packages/a", KEY, {}, fill)


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.005, 0.01, 0.02, 0.05])
def test_killed_writer_loses_its_own_build_only(store: Store, delay: float) -> None:
    before = store.add("packages/b", "b" * 64, {}, fill)
    command = [sys.executable, "-c", _WRITER, str(store.config.store), KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout and writer.stdout.readline() == "writing\n"
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    found = store.find(KEY)
    if found:
        store.verify(found)
    store.clean()
    assert not list((store.config.work / "entries").iterdir())
    assert store.find("b" * 64) == before
    assert store.add("packages/a", KEY, {}, fill)


def test_clean_leaves_alone_what_somebody_works_on(store: Store) -> None:
    def produce(folder: Path) -> dict:
        Store(store.config).clean()
        return fill(folder)

    store.add("packages/a", KEY, {}, produce)


@pytest.mark.parametrize("place", ["entries/" + KEY, "entries/" + KEY + ".old", "steps/cross-python3.11"])
def test_clean_gets_over_everything_that_a_build_may_leave(store: Store, place: str) -> None:
    path = store.config.work / place
    path.mkdir(parents=True)
    nest(path / "deep", 2000, "d")
    nest(path / "long", 100, mode=0o000)
    os.mkfifo(path / "fifo")
    (path / "loop").symlink_to("loop")
    (path / os.fsdecode(b"\xff\n\x1b")).touch()
    store.clean()
    assert not path.exists()


def test_clean_never_ends_a_run_because_of_what_cannot_be_removed(store: Store) -> None:
    path = store.config.work / "entries" / KEY
    path.mkdir(parents=True)
    script = f"""
from pathlib import Path
from mere_helpers.config import Config
from mere_helpers.store.store import Store
store = Path({str(store.config.store)!r})
Store(Config(store.parent, store, store / "sources")).clean()
"""
    # To a user who is not mapped, these directories are somebody else's.
    path.parent.chmod(0o555)
    subprocess.run(["unshare", "--user", "--", sys.executable, "-c", script], check=True)


def test_a_step_with_a_dot_in_its_name_keeps_its_work_folder_while_it_is_built(store: Store) -> None:
    path = store.config.work / "steps/cross-python3.11"
    path.mkdir(parents=True)
    with store.lock("cross-python3.11"):
        Store(store.config).clean()
        assert path.is_dir()
    store.clean()
    assert not path.exists()


def test_clean_removes_the_rooms_of_killed_runs_and_not_those_of_the_living(store: Store) -> None:
    work = store.config.work
    for name in (
        "book-dead",
        "book-living",
        "book-new",
        "book-old",
        "jobs/jobs-old",
        "jobs/jobs-new",
        "jobs/jobs-used",
    ):
        (work / name).mkdir(parents=True)
    (work / "jobs/jobs-used/fifo").touch()
    (work / "book-dead/alive").touch()
    for name in ("book-old", "jobs/jobs-old", "jobs/jobs-used"):
        os.utime(work / name, (1, 1))
    with Locks(work / "book-living", threading.Event()).hold("alive"):
        store.clean()
        left = {str(path.relative_to(work)) for path in (*work.glob("book-*"), *work.glob("jobs/*"))}
    assert left == {"book-living", "book-new", "jobs/jobs-new", "jobs/jobs-used"}


def _add(store: Store, barrier, results) -> None:
    def produce(folder: Path) -> dict:
        time.sleep(0.3)
        fill(folder)
        return {"builder": os.getpid()}

    barrier.wait()
    results.put((os.getpid(), store.add("packages/a", KEY, {}, produce).measures["builder"]))


def test_of_two_writers_one_builds_and_both_use_it(store: Store) -> None:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(3), context.Queue()
    writers = [context.Process(target=_add, args=(store, barrier, results)) for _ in range(3)]
    for writer in writers:
        writer.start()
    seen = [results.get(timeout=20) for _ in writers]
    for writer in writers:
        writer.join()
    assert len({pid for pid, _ in seen}) == 3
    assert len({builder for _, builder in seen}) == 1


def _damage_meta(entry: Entry) -> None:
    path = entry.path / "meta.json"
    path.write_text(path.read_text()[:100])


def _damage_listing(entry: Entry) -> None:
    path = entry.path / "meta.json"
    meta = json.loads(path.read_text())
    meta["outputs"]["bin/hello"]["mode"] = 0o777
    path.write_text(json.dumps(meta))


def _shorten(entry: Entry) -> None:
    path = entry.tree / "bin" / "hello"
    path.chmod(0o644)
    path.write_text("")


@pytest.mark.parametrize(
    "damage", [_damage_meta, _damage_listing, _shorten, lambda entry: (entry.tree / "bin" / "hello").unlink()]
)
def test_damaged_entry_is_built_again(store: Store, damage) -> None:
    entry = store.add("packages/a", KEY, {}, fill)
    damage(entry)
    assert store.find(KEY) is None
    assert list(store.entries()) == []
    store.verify(store.add("packages/a", KEY, {}, fill))


def test_an_entry_whose_files_can_be_written_is_built_again(store: Store) -> None:
    entry = store.add("packages/a", KEY, {}, fill)
    (entry.tree / "bin/hello").chmod(0o644)
    assert store.find(KEY) is None
    (entry.tree / "bin/hello").chmod(0o444)
    assert store.find(KEY) == entry
    (entry.tree / "bin/hello").unlink()
    (entry.tree / "bin/hello").symlink_to("12345")
    assert store.find(KEY) is None


_JUNK = (None, True, 0, -1, 10**30, 1.5, float("nan"), "", "x", "\0", "/", "../..", "\ud800", [], [1], {}, {"a": 1})


def _places(value: object, way: tuple = ()) -> list[tuple]:
    """The way to each value within a description."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(place for name, below in inner for place in _places(below, (*way, name)))]


def _damaged(text: str, random: Random) -> bytes:
    """A description with one thing wrong; half of the time, it is not even JSON, or its digest has been made to fit."""
    kind = random.randrange(6)
    data = bytearray(text.encode())
    place = random.randrange(len(data))
    if kind == 0:
        return bytes(data[:place])
    if kind == 1:
        data[place] = random.randrange(256)
        return bytes(data)
    if kind == 2:
        return random.choice((b"[" * 100_000, b"", b"null", b"[]", b"1" * 10_000, b"\xff\xfe", b'{"key": 1e999}'))
    meta = json.loads(text)
    *way, last = random.choice(_places(meta)[1:])
    holder = meta
    for name in way:
        holder = holder[name]
    if kind == 3:
        del holder[last]
    elif kind == 4 and isinstance(holder, dict):
        holder[random.choice(("", "/", "..", "a\0b", "x" * 5000, "\ud800", "new"))] = holder.pop(last)
    else:
        holder[last] = random.choice(_JUNK)
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        meta["output_digest"] = digest(meta)
    return json.dumps(meta).encode()


def test_no_damaged_description_is_an_error(store: Store) -> None:
    entry = store.add("packages/a", KEY, {"recipe": "1", "sources": {"a": "b"}}, fill)
    path = entry.path / "meta.json"
    text = path.read_text()
    random = Random(13)
    refused = 0
    for _ in range(1000):
        path.write_bytes(_damaged(text, random))
        found = store.find(KEY)
        refused += found is None
        if found is not None:
            # What is taken for an entry can be read in every part.
            assert all(output.size >= 0 for output in found.outputs.values()) and found.output_digest
            assert all(value >= 0 or value != value or value == -1 for value in found.measures.values())
            assert isinstance(found.meta["run"] + found.id, str) and dict(found.meta["inputs"]) is not None
        assert len(list(store.entries())) == (found is not None)
    assert refused > 700
    path.write_text(text)
    assert store.find(KEY) == entry


def test_verify_sees_a_flipped_bit(store: Store) -> None:
    entry = store.add("packages/a", KEY, {}, fill)
    (entry.tree / "bin" / "hello").chmod(0o644)
    (entry.tree / "bin" / "hello").write_text("hellp")
    (entry.tree / "bin" / "new").write_text("")
    with pytest.raises(StoreError, match=r"packages/a have changed: bin/hello, bin/new"):
        store.verify(entry)


def test_removed_entry_is_gone(store: Store) -> None:
    entry = store.add("packages/a", KEY, {}, fill)
    store.remove(entry)
    assert store.find(KEY) is None and store.latest("packages/a") is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_disk_trouble_is_told_and_loses_nothing(store: Store, number: int) -> None:
    before = store.add("packages/b", "b" * 64, {}, fill)

    def produce(folder: Path) -> dict:
        fill(folder)
        raise OSError(number, os.strerror(number), str(folder / "out"))

    with pytest.raises(StoreError) as caught:
        store.add("packages/a", KEY, {}, produce)
    assert os.strerror(number) in str(caught.value) and "hint: " in str(caught.value)
    assert store.find("b" * 64) == before and store.find(KEY) is None


def _in_small_store(tmp_path: Path, script: str) -> str:
    """Run a script as the root of a user namespace with a store on a disk of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    prelude = f"""
import subprocess
from pathlib import Path
from mere_helpers.config import Config
from mere_helpers.errors import StoreError
from mere_helpers.store.store import Store
place = Path({str(folder)!r})
store = Store(Config(place, place / "store", place / "sources"))
def mount(*words): subprocess.run(["mount", *words, str(place)], check=True)
mount("-t", "tmpfs", "-o", "size=1m", "none")
def small(folder):
    (folder / "out" / "a").write_text("a")
    return {{}}
def large(folder):
    (folder / "out" / "a").write_bytes(bytes(2 << 20))
    return {{}}
store.add("packages/a", "a", {{}}, small)
"""
    command = ["unshare", "--user", "--map-root-user", "--mount", "--", sys.executable, "-c", prelude + script]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_full_disk(tmp_path: Path) -> None:
    script = """
try:
    store.add("packages/b", "b", {}, large)
except StoreError as error:
    print(error)
store.verify(store.find("a"))
store.add("packages/c", "c", {}, small)
"""
    assert "No space left on device" in _in_small_store(tmp_path, script)


def test_read_only_store_can_be_read(tmp_path: Path) -> None:
    script = """
mount("-o", "remount,bind,ro")
try:
    store.add("packages/b", "b", {}, small)
except StoreError as error:
    print(error)
store.clean()
store.verify(store.find("a"))
"""
    said = _in_small_store(tmp_path, script)
    assert "Read-only file system" in said and "MERE_STORE" in said
