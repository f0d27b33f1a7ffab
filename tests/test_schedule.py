"""The schedule, with builders that only sleep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from mere_helpers.building.builders import Build
from mere_helpers.building.costs import Event
from mere_helpers.building.scheduler import BudgetError, deadline, found, offered, run
from mere_helpers.config import Config
from mere_helpers.errors import BuildError, MereError
from mere_helpers.planning.plan import Plan
from mere_helpers.store.store import Entry
from mere_helpers.store.substitutes import export


class Builders(dict):
    """Builders for all stages, which remember what they built, in what order, and how many ran at once."""

    def __init__(self, seconds: float = 0.02, action: Callable[[Build], object] = lambda build: None) -> None:
        self.order: list[str] = []
        self.most = self._now = 0
        self._lock = threading.Lock()
        self._seconds, self._action = seconds, action
        super().__init__({stage: self._build for stage in ("cross", "temptools", "packages")})

    def _build(self, build: Build) -> Entry:
        def produce(folder: Path) -> dict:
            with self._lock:
                self.order.append(build.id)
                self._now += 1
                self.most = max(self.most, self._now)
            started = time.time()
            try:
                time.sleep(self._seconds)
                text = self._action(build)
                (folder / "out" / "result").write_text(str(text or build.id))
            finally:
                with self._lock:
                    self._now -= 1
            return {"cpu_s": self._seconds, "wall_s": self._seconds, "started": started, "ended": time.time()}

        return build.store.add(build.id, build.key, build.inputs, produce)


def _sleep(build: Build) -> Entry:
    """A builder that another run, in a process of its own, can import."""

    def produce(folder: Path) -> dict:
        time.sleep(0.1)
        (folder / "out" / "result").write_text(build.id)
        return {"cpu_s": 0.1, "started": time.time()}

    return build.store.add(build.id, build.key, build.inputs, produce)


ALL_SLEEP = {stage: _sleep for stage in ("cross", "temptools", "packages")}

#: Everything that packages/hello needs.
HELLO = {
    "cross/make", "temptools/adjust", "packages/base-layout", "packages/musl", "packages/zlib", "packages/gcc",
    "packages/hello",
}  # fmt: skip


def test_everything_needed_is_built_behind_what_it_needs(config: Config) -> None:
    builders = Builders()
    entries = run(config, ["packages/hello"], builders=builders)
    plan = Plan.from_recipes(config)
    assert entries.keys() == set(builders.order) == set(plan.closure(["packages/hello"])) >= {"packages/gcc"}
    for id in builders.order:
        assert all(builders.order.index(needed) < builders.order.index(id) for needed in plan.dependencies(id))


def test_second_run_builds_nothing_and_needs_no_writing(config: Config) -> None:
    first = run(config, ["packages/hello"], builders=Builders())
    events: list[Event] = []
    second = run(config, ["packages/hello"], builders={}, watch=events.append)
    assert second == first == found(config, ["packages/hello"])
    assert {event.kind for event in events} == {"queued", "found"}
    assert events[-1].done == events[-1].total == len(first) and events[-1].left_s == 0


def test_it_is_known_beforehand_what_substitutes_will_spare(config: Config, tmp_path: Path) -> None:
    built = run(config, ["packages/hello"], builders=Builders())
    packed = str(tmp_path / "packed")
    key = export(config, built.values(), Path(packed))
    taker = replace(config, store=tmp_path / "taker", substitutes=packed, substitutes_key=key)
    assert offered(taker, ["packages/hello"]) == HELLO
    assert found(taker, ["packages/hello"]) == {}
    # What is in the store need not be offered; behind a recipe that is another one today nothing fits.
    run(taker, ["cross/make"], builders=Builders())
    assert offered(taker, ["packages/hello"]) == HELLO - {"cross/make"}
    with (config.recipes / "packages/musl/PKGBUILD").open("a") as recipe:
        recipe.write("# changed\n")
    assert offered(taker, ["packages/hello"]) == {"temptools/adjust", "packages/base-layout"}
    assert offered(config, ["packages/hello"]) == set()


def test_what_substitutes_spare_is_not_in_the_estimate(config: Config, tmp_path: Path) -> None:
    built = run(config, ["packages/hello"], builders=Builders())
    packed = str(tmp_path / "packed")
    key = export(config, built.values(), Path(packed))
    taker = replace(config, store=tmp_path / "taker", substitutes=packed, substitutes_key=key)
    events: list[Event] = []
    run(taker, ["packages/hello"], builders={}, watch=events.append)
    assert max(event.left_s for event in events) <= len(built)


def test_independent_builds_run_side_by_side(config: Config) -> None:
    builders = Builders(0.2)
    run(config, ["packages/zlib", "packages/make"], builders=builders)
    assert builders.most == 2
    builders = Builders(0.05)
    run(replace(config, store=config.store / "other"), ["packages/zlib", "packages/make"], builders=builders, workers=1)
    assert builders.most == 1


def test_most_urgent_starts_first(config: Config, add_package: Callable[..., Path]) -> None:
    for name in ("aaa", "zzz"):
        add_package(name, depends="musl")
    add_package("user", depends="zzz")
    builders = Builders()
    run(config, ["packages/aaa", "packages/user"], builders=builders, workers=1)
    assert builders.order.index("packages/zzz") < builders.order.index("packages/aaa")


def test_same_output_stops_the_rebuilding(config: Config, add_package: Callable[..., Path]) -> None:
    run(config, ["packages/hello"], builders=Builders())
    add_package("musl", depends="base-layout", more="# only a comment")
    builders = Builders()
    run(config, ["packages/hello"], builders=builders)
    assert builders.order == ["packages/musl"]
    add_package("musl", depends="base-layout", more="# another comment")
    builders = Builders(action=lambda build: f"{build.id} is different")
    run(config, ["packages/hello"], builders=builders)
    assert set(builders.order) == {"packages/musl", "packages/zlib", "packages/gcc", "packages/hello"}


def test_events_tell_what_happened(config: Config) -> None:
    events: list[Event] = []
    entries = run(config, ["packages/musl"], builders=Builders(0.05), watch=events.append)
    for id in entries:
        assert [event.kind for event in events if event.id == id] == ["queued", "started", "built"]
    assert all(event.seconds >= 0.05 for event in events if event.kind == "built")


def test_failure_lets_the_others_finish_and_starts_no_more(config: Config) -> None:
    def act(build: Build) -> None:
        if build.id == "packages/make":
            raise BuildError("make failed", hint="mend it")
        if build.id == "packages/zlib":
            time.sleep(0.3)

    builders = Builders(action=act)
    with pytest.raises(BuildError, match="make failed"):
        run(config, ["packages/hello", "packages/make"], builders=builders)
    assert "packages/zlib" in found(config, ["packages/hello"])
    assert "packages/gcc" not in builders.order
    builders = Builders()
    run(config, ["packages/hello", "packages/make"], builders=builders)
    assert set(builders.order) == {"packages/make", "packages/gcc", "packages/hello"}


def test_first_error_names_the_others(config: Config) -> None:
    def act(build: Build) -> None:
        if build.id in ("packages/make", "packages/zlib"):
            time.sleep(0.1 if build.id == "packages/make" else 0.3)
            raise BuildError(f"{build.id} failed")

    with pytest.raises(BuildError, match="packages/make failed\nfailed, too: packages/zlib"):
        run(config, ["packages/zlib", "packages/make"], builders=Builders(action=act))


def test_mistake_of_a_builder_is_raised_as_it_is(config: Config) -> None:
    events: list[Event] = []
    with pytest.raises(ZeroDivisionError):
        run(config, ["packages/musl"], builders=Builders(action=lambda build: 1 / 0), watch=events.append)
    assert [event.kind for event in events if event.kind != "queued"] == ["started", "failed"]


def test_jobserver_is_shared_gets_its_tokens_back_and_is_taken_away(config: Config) -> None:
    seen = []

    def act(build: Build) -> None:
        seen.append((build.jobserver, build.jobserver.free()))
        with build.jobserver.lease() as lease, open(lease.path, "rb", buffering=0) as fifo:
            assert fifo.read(1) == b"+" and build.jobserver.free() == 0

    run(config, ["packages/musl"], builders=Builders(action=act), workers=1)
    assert len(seen) == 4 and set(seen) == {(seen[0][0], 1)}
    assert not list((config.work / "jobs").iterdir())


def test_no_build_starts_when_time_is_up(config: Config, monkeypatch) -> None:
    run(config, ["packages/musl"], builders=Builders())
    builders = Builders(0.3)
    with pytest.raises(BudgetError, match=r"packages/gcc, packages/hello") as caught:
        run(replace(config, budget_s=0.1), ["packages/hello"], builders=builders)
    assert builders.order == ["packages/zlib"] and "kept" in caught.value.hint
    monkeypatch.setenv("MERE_DEADLINE", str(time.time() - 1))
    with pytest.raises(BudgetError):
        run(config, ["packages/hello"], builders={})
    assert len(run(config, ["packages/zlib"], builders={})) == 5


def test_deadline(config: Config, monkeypatch) -> None:
    assert deadline(config) is None
    monkeypatch.setenv("MERE_DEADLINE", "1000")
    assert deadline(replace(config, budget_s=10)) == 1000
    monkeypatch.setenv("MERE_DEADLINE", "soon")
    with pytest.raises(MereError, match="soon"):
        deadline(config)


def test_interrupt_stops_the_builds(config: Config) -> None:
    def act(build: Build) -> None:
        if build.id == "cross/make":
            return
        if not build.jobserver.stop.wait(20):
            pytest.fail("was not told")
        raise BuildError("stopped")

    def watch(event: Event) -> None:
        if event.kind == "started" and event.id != "cross/make":
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(config, ["packages/musl"], builders=Builders(action=act), watch=watch)
    assert time.monotonic() - began < 10
    assert found(config, ["packages/musl"]).keys() == {"cross/make"}
    assert not list((config.work / "jobs").iterdir())


def _run_elsewhere(config: Config, log: Path) -> subprocess.Popen:
    script = """
import sys
from pathlib import Path
from mere_helpers.config import Config
from mere_helpers.building.scheduler import run
from mere_helpers.building.costs import print_watch
from tests.test_schedule import ALL_SLEEP
checkout, store = map(Path, sys.argv[1:])
run(Config(checkout, store, store / "sources", jobs=2), ["packages/hello"], builders=ALL_SLEEP, watch=print_watch)
"""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(Path(__file__).parent.parent), *sys.path]))
    with open(log, "wb") as output:
        return subprocess.Popen(
            [sys.executable, "-c", script, str(config.checkout), str(config.store)], stderr=output, env=environment
        )  # fmt: skip


def test_two_runs_at_once_share_the_work(config: Config, tmp_path: Path) -> None:
    logs = [tmp_path / "one", tmp_path / "two"]
    runs = [_run_elsewhere(config, log) for log in logs]
    assert [run.wait(60) for run in runs] == [0, 0]
    lines = [line.split() for log in logs for line in log.read_text().splitlines()]
    built = [words[1] for words in lines if words[0] == "built"]
    assert sorted(built) == sorted(set(built)) and len(lines) == 2 * len(set(built))


def test_killed_run_can_be_continued(config: Config, tmp_path: Path) -> None:
    first = _run_elsewhere(config, tmp_path / "one")
    while "packages/base-layout" not in found(config, ["packages/hello"]):
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.wait()
    kept = found(config, ["packages/hello"])
    events: list[Event] = []
    entries = run(config, ["packages/hello"], builders=ALL_SLEEP, watch=events.append)
    assert {event.id for event in events if event.kind == "found"} == kept.keys()
    assert entries.keys() > kept.keys()
    for folder in ("entries", "jobs"):
        assert not list((config.work / folder).iterdir())


def test_whole_closure_is_what_the_fixture_says(config: Config) -> None:
    assert found(config, ["packages/hello"]) == {}
    assert partial(run, config, ["packages/hello"], builders=ALL_SLEEP)().keys() == HELLO
