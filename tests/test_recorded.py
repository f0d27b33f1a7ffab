"""The run that the book tells of."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import pytest

from mere_helpers.config import Config, load_config
from mere_helpers.drawing.recorded import Cost, record_run, recorded_run
from mere_helpers.errors import BuildError, MereError
from mere_helpers.recipes.plan import Plan


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
