"""The pictures: their numbers are those of the recorded run, and they look the same on every machine."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import pytest

from mere_helpers.building.recorded import Cost, RecordedRun
from mere_helpers.config import Config
from mere_helpers.planning.plan import Plan
from mere_helpers.press import charts
from mere_helpers.press.drawing import Figure

from . import svg

RUN = RecordedRun(
    2,
    {
        "cross/binutils": Cost(0.0, 100.0, 150.0, 200 << 20),
        "cross/gcc": Cost(100.0, 1000.0, 1500.0, 900 << 20),
        "cross/make": Cost(0.0, 60.0, 50.0, 30 << 20),
        "cross/musl": Cost(1000.0, 1060.0, 100.0, 50 << 20),
    },
)
NEEDS = {"cross/gcc": ("cross/binutils",), "cross/musl": ("cross/gcc", "cross/make")}


class FakePlan:
    """Knows who needs whom, and nothing else."""

    def dependencies(self, id: str) -> tuple[str, ...]:
        return NEEDS.get(id, ())


PLAN: Plan = FakePlan()  # type: ignore[assignment]
DRAWN: dict[str, Callable[[], Figure]] = {
    "cost": lambda: charts.cost_chart(RUN, list(RUN.builds), "cross"),
    "memory": lambda: charts.memory_chart(RUN, list(RUN.builds), "cross"),
    "timeline": lambda: charts.timeline_chart(RUN, PLAN),
    "sizes": lambda: charts.size_chart(
        {"zlib": 3 << 20, "xz": 2 << 20}, {"zlib": 1 << 20, "xz": 2 << 20}, {"zlib": 4 << 20, "xz": 5 << 20}, 4 << 20
    ),
    "growth": lambda: charts.growth_chart([("base", 3, 5 << 20), ("core", 39, 200 << 20)]),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_is_always_the_same(name: str) -> None:
    first, second = DRAWN[name](), DRAWN[name]()
    assert first.svg == second.svg and first.png == second.png


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_takes_its_colour_and_its_width_from_the_page(name: str) -> None:
    figure = DRAWN[name]()
    element = ElementTree.fromstring(figure.svg)
    assert "width" not in element.attrib and "viewBox" in element.attrib
    assert "currentColor" in figure.svg and "#010203" not in figure.svg and "#000000" not in figure.svg
    assert not re.search(r"\d{4}-\d\d-\d\d", figure.svg)


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_can_be_read_aloud(name: str) -> None:
    figure = DRAWN[name]()
    assert ElementTree.fromstring(figure.svg).attrib["aria-label"] == figure.text
    assert figure._repr_html_().startswith('<figure class="mere" style="max-width:36rem"><svg')
    assert figure.caption in figure._repr_html_() and figure.text in repr(figure)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_costs_are_those_of_the_run() -> None:
    figure = DRAWN["cost"]()
    assert {"1,500", "150", "100", "50"} <= set(svg.words(figure.svg))
    assert figure.text == "1,800 seconds in all, or 12.0 SBU; the dearest: gcc 1,500, binutils 150, musl 100."


@pytest.mark.parametrize(("label", "unit"), [("processor time in seconds", 1), ("SBU", RUN.unit_s)])
def test_costs_are_drawn_to_both_scales(label: str, unit: float) -> None:
    figure = DRAWN["cost"]()
    on = svg.scale(figure.svg, label)
    assert [on(bar.right) * unit for bar in svg.bars(figure.svg)] == pytest.approx([50, 100, 150, 1500], abs=0.1)


def test_memory_is_that_of_the_run() -> None:
    assert {"900", "200", "50", "30"} <= set(svg.words(DRAWN["memory"]().svg))


def test_sizes_are_summed_up_and_the_largest_is_named() -> None:
    figure = DRAWN["sizes"]()
    assert {"xz", "zlib", "source", "package", "installed"} <= set(svg.words(figure.svg))
    assert figure.text == (
        "4.0 MiB of sources become 3.0 MiB of packages, which take 9.0 MiB when they are installed. "
        "The largest is xz, 5.0 MiB."
    )


def test_growth_is_told_chapter_by_chapter() -> None:
    figure = DRAWN["growth"]()
    on = svg.scale(figure.svg, "MiB installed")
    (late, late_texts), (early, early_texts) = svg.rows(figure.svg)
    assert early_texts == ["base", "3 packages"] and on(early.right) == pytest.approx(5, abs=0.01)
    assert late_texts == ["core", "39 packages"] and on(late.right) == pytest.approx(200, abs=0.01)
    assert figure.text == "At the end there are 39 packages, which take 200.0 MiB."


def test_the_critical_path_is_the_longest_chain() -> None:
    assert charts.critical_path(RUN, PLAN) == ["cross/binutils", "cross/gcc", "cross/musl"]
    assert "4 builds in 18 minutes on 2 cores" in DRAWN["timeline"]().text
    assert "takes 18 of them; it leads over cross/binutils, cross/gcc, cross/musl" in DRAWN["timeline"]().text


def test_bars_that_overlap_in_time_lie_in_different_lanes() -> None:
    lanes = charts._lanes(RUN)
    assert lanes["cross/binutils"] != lanes["cross/make"]
    assert max(lanes.values()) == 1


def test_the_load_at_a_moment_is_the_sum_of_what_ran() -> None:
    minutes, loads = charts._load(RUN)
    assert minutes[:2] == [0, 1] and loads[1] == pytest.approx(150 / 100, abs=1e-3)
    # 150 / 100 + 50 / 60 would be more processors than there are.
    assert loads[0] == RUN.cores and loads[-1] == 0


def test_the_load_is_not_taken_for_a_measurement() -> None:
    figure = DRAWN["timeline"]()
    assert {"cores busy,", "reckoned"} <= set(svg.words(figure.svg))
    assert "is reckoned, not measured" in figure.text and "the sum cut off at 2" in figure.text


def test_what_nearly_all_need_is_named_instead_of_drawn(config: Config) -> None:
    plan = Plan.from_recipes(config)
    figure = charts.dependency_chart(plan, [id for id in plan.order() if id.startswith("packages/")])
    assert "musl" in figure.text and "musl" in svg.words(figure.svg)


def test_a_measurement_of_this_machine_is_not_compared() -> None:
    figure = charts.container_chart([0.05, 0.06, 0.2])
    assert figure._repr_html_() is None and figure.svg == ""
    assert repr(figure) == (
        "figure: Making a container and taking it down. 3 containers, one after another. "
        "Half of them took less than a second."
    )


def test_containers_that_are_slow_are_said_to_be() -> None:
    assert charts.container_chart([0.1, 2.5, 9.0]).text.endswith("Half of them took less than 3 seconds.")
    assert charts.container_chart([1.0]).text.endswith("Half of them took less than 2 seconds.")
