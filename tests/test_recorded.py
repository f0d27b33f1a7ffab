"""The run that the book tells of."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import asdict

import nbformat
import pytest

from mere_helpers.building.recorded import Cost, record_run, recorded_run
from mere_helpers.config import Config, load_config
from mere_helpers.errors import BuildError, MereError
from mere_helpers.planning.plan import Plan
from mere_helpers.press.book import chapters
from mere_helpers.press.drawing import RED
from mere_helpers.session import Session

from . import svg
from .test_notebooks import OTHER_PICTURES


def texts(value: ast.AST) -> list[str]:
    """The strings in an expression."""
    return [node.value for node in ast.walk(value) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def committed() -> dict[tuple[str, ...], dict[str, str]]:
    """The outputs of the book's pictures of the run, by what their cells name."""
    found = {}
    for path in chapters(load_config()):
        for cell in nbformat.read(path, as_version=4).cells:
            names = tuple(re.findall(r'"([^"]+)"', cell.source)) if cell.source.startswith("figure(") else ()
            if names and not OTHER_PICTURES & set(names):
                found[names] = cell.outputs[0].data
    return found


PICTURES = committed()
COSTS = sorted(PICTURES.keys() - {("timeline",), ("memory",)})


@pytest.fixture(scope="module")
def builds() -> dict[str, dict[str, float]]:
    """The record itself, past the code that draws it."""
    return json.loads((load_config().checkout / "book/run.json").read_text())["builds"]


def drawn(picture: str, label: str) -> dict[str, tuple[str, float]]:
    """What is written behind each bar, and how long it is on the axis with this label; by the name before it."""
    on = svg.scale(picture, label)
    return {name: (said, on(bar.right) - on(bar.left)) for bar, (name, said) in svg.rows(picture)}


def test_what_is_recorded_is_read(config: Config) -> None:
    (config.checkout / "book").mkdir(exist_ok=True)
    costs = {"cross/binutils": Cost(0.0, 10.0, 15.0, 1 << 20), "cross/gcc": Cost(5.0, 35.0, 60.0, 2 << 20)}
    data = {"cores": 2, "builds": {id: asdict(cost) for id, cost in costs.items()}}
    (config.checkout / "book/run.json").write_text(json.dumps(data))
    run = recorded_run(config)
    assert run.cores == 2 and run.builds == costs
    assert run.wall_s == 35.0 and run.unit_s == 15.0 and run.cpu_s(list(costs)) == 75.0


@pytest.mark.parametrize(
    "text", ["", "{}", '{"cores": 2, "builds": {"a": 1}}', '{"cores": 2, "builds": {"a": {"b": 1}}}']
)
def test_a_record_that_cannot_be_read_is_an_error(config: Config, text: str) -> None:
    (config.checkout / "book").mkdir(exist_ok=True)
    (config.checkout / "book/run.json").write_text(text)
    with pytest.raises(MereError, match=r"cannot read book/run\.json"):
        recorded_run(config)


def test_half_a_run_is_not_recorded(config: Config) -> None:
    with pytest.raises(BuildError, match="not all is built: "):
        record_run(config)
    assert not (config.checkout / "book/run.json").exists()


def test_the_book_tells_of_every_build() -> None:
    config = load_config()
    assert set(recorded_run(config).builds) == set(Plan.from_recipes(config).order())


def test_the_readme_says_what_the_run_took() -> None:
    config = load_config()
    run = recorded_run(config)
    text = (config.checkout / "README.md").read_text()
    said = re.search(r"(\d+) minutes of processor time, which took (\d+) minutes on (\w+) cores", text)
    assert said is not None
    assert int(said[1]) == round(run.cpu_s(list(run.builds)) / 60)
    # The chapters' own cells take a minute or two besides.
    assert run.wall_s / 60 <= int(said[2]) <= run.wall_s / 60 + 3
    assert said[3] == {2: "two"}[run.cores]


def test_the_book_has_pictures_of_the_run() -> None:
    assert {("timeline",), ("memory",), ("cross",), ("packages",), ("rebuild",)} <= PICTURES.keys()


@pytest.mark.parametrize("names", COSTS, ids=" ".join)
def test_a_picture_of_costs_shows_what_the_builds_took(
    names: tuple[str, ...], builds: dict[str, dict[str, float]]
) -> None:
    data = PICTURES[names]
    costs = {id: builds[id]["cpu_s"] for id in Session(load_config()).resolve(names)}
    seconds = drawn(data["text/html"], "processor time in seconds")
    units = drawn(data["text/html"], "SBU")
    assert len(seconds) == len(costs)
    unit = builds["cross/binutils"]["cpu_s"]
    for id, cost in costs.items():
        name = id.partition("/")[2]
        assert seconds[name] == (f"{cost:,.0f}", pytest.approx(cost, abs=0.05))
        assert units[name][1] == pytest.approx(cost / unit, abs=0.001)
    total = sum(costs.values())
    assert f" {total:,.0f} seconds in all, or {total / unit:.1f} SBU; " in data["text/plain"]


def test_the_picture_of_memory_shows_what_the_hungriest_builds_held(builds: dict[str, dict[str, float]]) -> None:
    data = PICTURES[("memory",)]
    held = {id: build["peak_bytes"] / 2**20 for id, build in builds.items()}
    shown = drawn(data["text/html"], "most memory held at once, in MiB")
    hungriest = sorted(held, key=held.__getitem__)[-15:]
    assert set(shown) == set(hungriest)
    for id, (said, length) in shown.items():
        assert said == f"{held[id]:,.0f}" and length == pytest.approx(held[id], abs=0.05)
    assert f"{hungriest[-1]}, holds {held[hungriest[-1]] / 2**10:.1f} GiB at most" in data["text/plain"]


def test_the_timeline_shows_when_each_build_began_and_ended(builds: dict[str, dict[str, float]]) -> None:
    data = PICTURES[("timeline",)]
    on = svg.scale(data["text/html"], "minutes")
    bars = svg.bars(data["text/html"])
    # Recorded to the tenth of a second, and drawn much more finely.
    spans = sorted((round(on(bar.left) * 60, 1), round(on(bar.right) * 60, 1)) for bar in bars)
    assert spans == sorted((build["started"], build["ended"]) for build in builds.values())
    red = sum(on(bar.right) - on(bar.left) for bar in bars if bar.colour == RED)
    assert f"The critical path, in red, takes {red:.0f} of them" in data["text/plain"]
