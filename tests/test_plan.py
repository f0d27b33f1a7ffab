"""The graph of builds, the roots of containers, and the keys of results."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mere_helpers.config import Config, load_config
from mere_helpers.errors import PlanError
from mere_helpers.planning.plan import Plan

Add = Callable[..., Path]


@pytest.fixture
def plan(config: Config) -> Plan:
    """Up to round 1."""
    return Plan.from_recipes(config, rounds=1)


@pytest.fixture
def rounds(config: Config) -> Plan:
    """All three rounds."""
    return Plan.from_recipes(config, rounds=3)


def outputs(plan: Plan) -> dict[str, str]:
    return {id: f"digest of {id}" for id in plan.order()}


def test_roots_hold_what_is_declared_and_what_that_needs(plan: Plan) -> None:
    assert plan.root_packages("packages/hello") == ("base-layout", "gcc-libs", "musl")
    assert plan.root_packages("packages/build-essential") == ("base-layout", "make", "musl")
    assert plan.root_packages("temptools/adjust") == ()


def test_build_essential_is_replaced_in_round_1(plan: Plan) -> None:
    assert plan.root_packages("packages/base-layout") == ()
    assert plan.root_packages("packages/musl") == ("base-layout",)
    assert plan.root_packages("packages/make") == ("base-layout", "musl")


def test_a_later_round_uses_nothing_but_the_packages_of_the_one_before(rounds: Plan) -> None:
    assert rounds.stages == ("cross", "temptools", "packages", "rebuild", "confirm")
    everything = ("base-layout", "build-essential", "make", "musl")
    assert rounds.root_packages("rebuild/musl") == rounds.root_packages("confirm/musl") == everything
    assert rounds.root_packages("rebuild/gcc") == (*everything, "zlib")
    for stage, before in (("rebuild", "packages"), ("confirm", "rebuild")):
        ids = [id for id in rounds.order() if id.startswith(f"{stage}/")]
        assert len(ids) == 7
        for id in ids:
            assert rounds.tools_of(id) == ()
            others = {needed for needed in rounds.dependencies(id) if not needed.startswith(f"{before}/")}
            # What installs the root's packages, from outside.
            assert others == {"temptools/adjust"}


def test_a_later_round_is_compared_with_the_one_before(rounds: Plan) -> None:
    assert rounds.reference("packages/hello") is rounds.reference("cross/make") is None
    assert rounds.reference("rebuild/hello") == "packages/hello"
    assert rounds.reference("confirm/hello") == "rebuild/hello"
    assert "packages/hello" in rounds.dependencies("rebuild/hello")


def test_round_1_is_the_same_with_and_without_the_others(plan: Plan, rounds: Plan) -> None:
    for id in plan.order():
        assert rounds.dependencies(id) == plan.dependencies(id)
        assert rounds.key(id, outputs(rounds)) == plan.key(id, outputs(plan))


def test_a_package_never_needs_itself(plan: Plan) -> None:
    assert plan.root_packages("packages/gcc") == ("base-layout", "musl", "zlib")


def test_dependencies_of_a_package_are_the_tools_and_the_recipes_of_its_root(plan: Plan) -> None:
    assert plan.dependencies("packages/hello") == (
        "cross/make",
        "packages/base-layout",
        "packages/gcc",
        "packages/musl",
        "temptools/adjust",
    )
    assert plan.dependencies("temptools/adjust") == ("cross/make",)


def test_the_order_puts_each_build_behind_its_dependencies(plan: Plan) -> None:
    order = plan.order()
    assert len(order) == len(plan.recipes)
    assert all(order.index(needed) < order.index(id) for id in order for needed in plan.dependencies(id))


def test_the_order_is_the_same_every_time(config: Config, plan: Plan) -> None:
    assert Plan.from_recipes(config, rounds=1).order() == plan.order()


def test_the_closure_holds_all_that_is_needed_and_no_more(plan: Plan) -> None:
    assert plan.closure(["packages/musl"]) == (
        "cross/make",
        "temptools/adjust",
        "packages/base-layout",
        "packages/musl",
    )
    assert set(plan.order()) - set(plan.closure(["packages/hello"])) == {"packages/make", "packages/build-essential"}


def test_a_stack_has_dependents_above(plan: Plan) -> None:
    assert plan.stack(plan.root_packages("packages/hello")) == ("gcc-libs", "musl", "base-layout")
    assert plan.stack(["hello"]) == ("hello", "gcc-libs", "musl", "base-layout")
    assert plan.stack([]) == ()


def test_the_provider_of_a_split_package_is_its_recipe(plan: Plan) -> None:
    assert plan.provider("gcc-libs") == "packages/gcc"
    assert plan.provider("gcc-libs", "rebuild") == "rebuild/gcc"
    with pytest.raises(PlanError, match="no recipe makes the package nothing"):
        plan.provider("nothing")


def test_an_id_that_is_not_planned_is_refused(plan: Plan) -> None:
    with pytest.raises(PlanError, match="musl is not part of the plan"):
        plan.dependencies("musl")


def test_a_dependency_without_recipe_is_named_with_who_needs_it(
    config: Config, add_package: Add, add_step: Add
) -> None:
    path = add_package("bad", depends="nothing")
    with pytest.raises(PlanError, match="packages/bad needs nothing, which no recipe provides"):
        Plan.from_recipes(config)
    path.unlink()
    add_step("cross/bad", makedepends="make")
    with pytest.raises(PlanError, match="cross/bad needs make, which has no recipe"):
        Plan.from_recipes(config)


def test_two_recipes_for_one_package_are_refused(config: Config, add_package: Add) -> None:
    add_package("libs", more="pkgbase=libs\npkgname=gcc-libs")
    with pytest.raises(PlanError, match="packages/gcc and packages/libs both make the package gcc-libs"):
        Plan.from_recipes(config)


def test_a_circle_of_packages_is_written_out(config: Config, add_package: Add) -> None:
    add_package("zlib", depends="musl hello")
    with pytest.raises(PlanError, match="these need each other: ") as caught:
        Plan.from_recipes(config)
    chain = caught.value.message.partition(": ")[2].split(" -> ")
    assert chain[0] == chain[-1]
    assert set(chain) == {"packages/zlib", "packages/hello", "packages/gcc"}
    follows = list(itertools.pairwise(chain))
    assert ("packages/hello", "packages/gcc") in follows
    assert ("packages/gcc", "packages/zlib") in follows


def test_a_circle_of_steps_is_written_out(config: Config, add_step: Add) -> None:
    add_step("cross/a", makedepends="cross/b")
    add_step("cross/b", makedepends="cross/a")
    with pytest.raises(PlanError, match=r"cross/(a|b) -> cross/(a|b) -> cross/(a|b)"):
        Plan.from_recipes(config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('tools = ["cross/gcc"]', "the bootstrap's tools need cross/gcc"),
        ('installer = "cross/gcc"', "the bootstrap's tools need cross/gcc"),
        ("tools = []\n[build-essential]\nmussl = []", r"\[build-essential\] speaks of mussl"),
        ("tools = [", "cannot read recipes/bootstrap.toml"),
        (None, "cannot read recipes/bootstrap.toml"),
    ],
)
def test_a_wrong_bootstrap_file_is_refused(config: Config, text: str | None, message: str) -> None:
    path = config.recipes / "bootstrap.toml"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(PlanError, match=message):
        Plan.from_recipes(config)


def test_keys_are_stable_and_differ(config: Config, plan: Plan) -> None:
    keys = {id: plan.key(id, outputs(plan)) for id in plan.order()}
    assert len(set(keys.values())) == len(keys)
    again = Plan.from_recipes(config, rounds=1)
    assert keys == {id: again.key(id, outputs(again)) for id in again.order()}


def test_a_key_follows_the_outputs_in_the_root_and_no_others(plan: Plan) -> None:
    before = plan.key("packages/hello", outputs(plan))
    for id in plan.order():
        changed = plan.key("packages/hello", outputs(plan) | {id: "another"}) != before
        assert changed == (id in plan.dependencies("packages/hello")), id


def test_a_key_follows_its_own_recipe(config: Config, plan: Plan) -> None:
    path = config.recipes / "packages" / "make" / "PKGBUILD"
    before = {id: plan.key(id, outputs(plan)) for id in plan.order()}
    path.write_text(path.read_text() + "# a comment\n")
    after = Plan.from_recipes(config, rounds=1)
    changed = {id for id in before if after.key(id, outputs(after)) != before[id]}
    assert changed == {"packages/make"}


def test_a_key_follows_the_pins_it_uses(config: Config, plan: Plan) -> None:
    before = {id: plan.key(id, outputs(plan)) for id in plan.order()}
    path = config.recipes / "packages" / "make" / "PKGBUILD"
    text = path.read_text()
    pin = text.partition("sha256sums=(")[2].partition(")")[0]
    path.write_text(text.replace(pin, "0" * 64))
    after = Plan.from_recipes(config, rounds=1)
    changed = {id for id in before if after.key(id, outputs(after)) != before[id]}
    assert changed == {"packages/make", "cross/make"}


def test_keys_of_packages_follow_the_settings_of_makepkg(config: Config, plan: Plan) -> None:
    before = {id: plan.key(id, outputs(plan)) for id in plan.order()}
    (config.recipes / "makepkg.conf").write_text("# something new\n")
    changed = {id for id in before if plan.key(id, outputs(plan)) != before[id]}
    assert changed == {id for id in before if id.startswith("packages/")}


def test_other_compilers_of_the_host_change_only_what_they_compile(config: Config, plan: Plan, add_step: Add) -> None:
    add_step("cross/gcc")
    add_step("temptools/tool", makedepends="cross/gcc")
    before = Plan.from_recipes(config, rounds=1)
    after = Plan.from_recipes(replace(config, compilers=("clang", "clang++", "clang version 14")), rounds=1)
    changed = {id for id in before.order() if after.key(id, outputs(before)) != before.key(id, outputs(before))}
    assert changed == {"cross/make", "cross/gcc", "temptools/adjust"}


def test_a_key_needs_all_outputs(plan: Plan) -> None:
    with pytest.raises(PlanError, match="packages/musl needs packages/base-layout, temptools/adjust to be built first"):
        plan.key("packages/musl", {"cross/make": "x"})


def test_the_critical_path_counts_down_to_the_end(plan: Plan) -> None:
    costs = dict.fromkeys(plan.order(), 1.0) | {"packages/gcc": 100.0, "packages/zlib": 10.0}
    urgency = plan.critical_path(costs)
    assert urgency["packages/hello"] == 1
    assert urgency["packages/gcc"] == 101
    assert urgency["packages/zlib"] == 111
    assert urgency["packages/make"] == 2
    assert urgency["cross/make"] == 1 + 1 + 1 + 1 + 111
    assert all(urgency[needed] > urgency[id] for id in plan.order() for needed in plan.dependencies(id))


def test_an_unknown_cost_is_one_second(plan: Plan) -> None:
    assert plan.critical_path({})["packages/hello"] == 1


def test_the_recipes_of_the_checkout_add_up_and_stand_on_base_layout() -> None:
    plan = Plan.from_recipes(load_config())
    roots = [plan.stack(plan.root_packages(id)) for id in plan.order() if plan.root_packages(id)]
    assert roots
    assert {stack[-1] for stack in roots} == {"base-layout"}
