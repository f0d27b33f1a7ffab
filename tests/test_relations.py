"""Who needs whom, without what follows from the rest."""

from __future__ import annotations

from mere_helpers.config import Config
from mere_helpers.drawing import charts
from mere_helpers.drawing.relations import around, relations
from mere_helpers.recipes.plan import Plan


def test_what_follows_from_the_rest_is_left_out(config: Config) -> None:
    needs = relations(Plan.from_recipes(config))
    # Its container holds musl and base-layout and the tools, too; gcc needs all of these already.
    assert needs["packages/hello"] == ("packages/gcc",)
    assert needs["cross/make"] == ()
    assert not [id for id in needs if id.startswith("rebuild/")]
    for number, id in enumerate(needs):
        assert all(list(needs).index(needed) < number for needed in needs[id])


def test_nothing_is_lost(config: Config) -> None:
    plan = Plan.from_recipes(config)
    needs = relations(plan)
    for id in needs:
        above, _ = around(needs, id)
        assert above == set(plan.closure([id])) - {id}


def test_around_looks_in_both_directions() -> None:
    needs = {"a": (), "b": ("a",), "c": ("b",), "d": ("c",)}
    assert around(needs, "c") == ({"a", "b"}, {"d"})


def test_the_picture_shows_neighbours_or_all() -> None:
    needs = {"a": (), "b": ("a",), "c": ("b",), "d": ("c",), "packages/e": ("d",)}
    near = charts.neighbour_chart(needs, "c", deep=False)
    deep = charts.neighbour_chart(needs, "c", deep=True)
    follows = "and what follows from that"
    assert near.text == f"c needs 2 builds: b, {follows}. It is needed by 2 builds: d, {follows}."
    assert [name in near.svg for name in (">a<", ">b<", ">c<", ">d<", ">e<")] == [False, True, True, True, False]
    assert all(name in deep.svg for name in (">a<", ">b<", ">c<", ">d<", ">e<"))
    assert charts.neighbour_chart(needs, "a", deep=False).text.startswith(
        "a needs nothing. It is needed by 4 builds: b, and"
    )
