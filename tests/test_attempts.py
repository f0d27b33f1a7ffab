"""Where one build fails, those that do not need it are tried nevertheless, and of each is known why it is missing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mere_helpers.building.builders import BUILDERS, Build
from mere_helpers.building.scheduler import BudgetError
from mere_helpers.config import Config
from mere_helpers.errors import BuildError, DifferenceError, MereError, StoreError
from mere_helpers.planning.plan import Plan
from mere_helpers.progress import Progress
from mere_helpers.store.store import Entry
from mere_helpers.verify.comparisons import attempt

Builds = Callable[..., list[str]]


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Builds:
    """Builders that write a file, or do for some ids what they are told to; returns the list of what was asked for."""

    def install(**actions: Callable[[Build], object]) -> list[str]:
        asked: list[str] = []

        def builder(build: Build) -> Entry:
            asked.append(build.id)
            actions.get(build.id.replace("/", "_"), lambda build: None)(build)

            def produce(folder: Path) -> dict:
                (folder / "out/result").write_text(build.id)
                return {"cpu_s": 0.0, "wall_s": 0.0, "started": time.time()}

            return build.store.add(build.id, build.key, build.inputs, produce)

        for stage in BUILDERS:
            monkeypatch.setitem(BUILDERS, stage, builder)
        return asked

    return install


def _raise(error: BaseException) -> Callable[[Build], object]:
    def action(build: Build) -> None:
        raise error

    return action


def test_all_that_does_not_need_a_failed_build_is_built(config: Config, builds: Builds) -> None:
    plan = Plan.from_recipes(config)
    asked = builds(packages_zlib=_raise(BuildError("zlib failed")))
    ids = ["packages/zlib", "packages/gcc", "packages/hello", "packages/make"]
    results = attempt(config, plan, ids, Progress())
    assert list(results) == ids and isinstance(results["packages/make"], Entry)
    assert str(results["packages/zlib"]) == "zlib failed"
    # Whatever it is that failed below, it is no word about what is above.
    for id in ("packages/gcc", "packages/hello"):
        assert type(results[id]) is MereError
        assert str(results[id]) == "it needs packages/zlib, which is missing: zlib failed"
    assert asked.count("packages/zlib") == 1 and "packages/gcc" not in asked


def test_a_difference_is_that_of_one_build_and_all_others_are_compared(config: Config, builds: Builds) -> None:
    plan = Plan.from_recipes(config)
    errors = {"zlib": DifferenceError("zlib is another"), "musl": OSError(28, "No space left on device")}
    asked = builds(**{f"rebuild_{name}": _raise(error) for name, error in errors.items()})
    ids = [id for id in plan.order() if id.startswith("rebuild/")]
    results = attempt(config, plan, ids, Progress())
    for id in ids:
        name = id.partition("/")[2]
        assert results[id] is errors[name] if name in errors else isinstance(results[id], Entry)
    assert set(ids) <= set(asked)


def test_a_difference_from_what_was_damaged_in_the_store_is_none(config: Config, builds: Builds) -> None:
    plan = Plan.from_recipes(config)

    def damaged(build: Build) -> None:
        file = build.dependencies["packages/zlib"].tree / "result"
        file.chmod(0o644)
        file.write_text("packages/ZLIB")
        raise DifferenceError("zlib is another")

    builds(rebuild_zlib=damaged)
    result = attempt(config, plan, ["rebuild/zlib"], Progress())["rebuild/zlib"]
    assert isinstance(result, StoreError) and "the stored outputs of packages/zlib have changed" in str(result)


def test_when_the_time_is_up_all_that_is_missing_says_so(
    config: Config, builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan.from_recipes(config)
    asked = builds()
    attempt(config, plan, ["packages/musl"], Progress())
    del asked[:]
    monkeypatch.setenv("MERE_DEADLINE", "1")
    results = attempt(config, plan, ["packages/musl", "packages/zlib"], Progress())
    assert isinstance(results["packages/musl"], Entry) and isinstance(results["packages/zlib"], BudgetError)
    assert not isinstance(results["packages/zlib"], BuildError) and asked == []


def test_ctrl_c_ends_all_of_it(config: Config, builds: Builds) -> None:
    builds(packages_zlib=_raise(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        attempt(config, Plan.from_recipes(config), ["packages/zlib", "packages/make"], Progress())
