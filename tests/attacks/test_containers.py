"""Nothing that runs in a container reaches the host, or the parts of the kernel that builds do not need."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from string import Template

import pytest

from mere_helpers.config import Config
from mere_helpers.sandbox.sandbox import Bind

from . import kernel
from .doors import in_sandbox
from .outside import Outside
from .score import Score

pytestmark = pytest.mark.containers


def _try(room: Config, busybox: Path, probe: Path, outside: Outside, words: Mapping[str, str]) -> dict[str, str]:
    """What each probe has printed. They run one after the other in one container, each in a process of its own."""
    disk = os.stat("/").st_dev
    places = outside.places | {"disk": f"{os.major(disk)} {os.minor(disk)}"}
    layer = room.checkout / "probe"
    layer.mkdir(exist_ok=True)
    (layer / "probe").write_bytes(probe.read_bytes())
    (layer / "probe").chmod(0o755)
    (layer / "probes").write_text("".join(f"{n}\t{Template(w).substitute(places)}\n" for n, w in words.items()))
    # A file of the host that everybody may write, were it not read-only.
    (layer / "bound").touch()
    (layer / "bound").chmod(0o666)
    binds = [Bind(layer / "bound", "/bound")]
    said = in_sandbox(room, [layer, busybox], ["/probe", "batch", "/probes"], binds=binds)
    return dict(line.partition("\t")[::2] for line in said.splitlines() if "\t" in line)


@pytest.fixture(scope="module")
def said(room: Config, busybox: Path, probe: Path, outside: Outside) -> dict[str, str]:
    """What the probes of the kernel have printed."""
    return _try(room, busybox, probe, outside, kernel.SURFACE)


def test_all_probes_have_been_tried_and_those_of_the_kernel_had_no_effect_outside(
    outside: Outside, said: dict[str, str]
) -> None:
    assert said.keys() == kernel.SURFACE.keys() and all(said.values())
    assert not outside.effects("")


@pytest.mark.parametrize("name", kernel.SURFACE)
def test_no_surface_of_the_kernel(
    room: Config, outside: Outside, said: dict[str, str], score: Score, name: str
) -> None:
    found = outside.effects(said[name])
    if str(room.store) in said[name]:
        found.append("learned where the store is")
    score("probes in containers", found, bad="reach kernel surface", allowed=kernel.ALLOWED.get(name, ""))


@pytest.mark.parametrize("name", kernel.HOST)
def test_no_way_out_of_a_container(
    room: Config, busybox: Path, probe: Path, outside: Outside, score: Score, name: str
) -> None:
    said = _try(room, busybox, probe, outside, {name: kernel.HOST[name]})
    score("probes in containers", outside.effects(said[name]))


def test_no_more_than_three_exceptions_each_with_a_reason() -> None:
    assert len(kernel.ALLOWED) <= 3 and all(kernel.ALLOWED.values())
    assert kernel.ALLOWED.keys() <= kernel.SURFACE.keys()
    assert len(kernel.SURFACE) + len(kernel.HOST) >= 100
