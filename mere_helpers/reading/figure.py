"""Pictures of what a run cost, drawn from the measurements that the store keeps with every build."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import Config
from ..containers.container import Container
from ..errors import ContainerError
from ..storage.store import Entry

_BAR, _EDGE = "#4878a8", "#16324f"


@dataclass(frozen=True)
class Figure:
    """A picture with a caption. Only the caption is compared when the book is checked; measurements differ."""

    caption: str
    png: bytes = field(repr=False)

    def __repr__(self) -> str:
        return f"figure: {self.caption}"

    def _repr_png_(self) -> bytes:
        return self.png


def cost_figure(entries: Mapping[str, Entry], caption: str) -> Figure:
    """One bar a build: processor time, the dearest first.

    Parameters
    ----------
    entries : mapping of str to Entry
        By id.
    caption : str
        What these builds have in common.
    """
    costs = sorted((entry.measures.get("cpu_s", 0.0), id) for id, entry in entries.items())
    figure, axes = _axes(height=0.8 + 0.24 * len(costs))
    bars = axes.barh([id.partition("/")[2] for _, id in costs], [cost for cost, _ in costs], color=_BAR)
    axes.bar_label(bars, fmt=lambda value: f"{value:,.0f} s", padding=3, fontsize=8)
    axes.set_xlabel("processor time in seconds")
    axes.margins(x=0.12)
    return _drawn(figure, caption)


def container_seconds(config: Config, layers: Sequence[Path], count: int) -> list[float]:
    """How long it takes to make a container, run ``true`` in it and take it down, in seconds, `count` times.

    Raises
    ------
    ContainerError
        A container could not be made, or ``true`` was not what ran in it.
    """
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        with Container(config, layers) as container:
            ended = container.run(["true"])
        seconds.append(time.perf_counter() - began)
        if ended.code:
            raise ContainerError(f"true ended with status {ended.code} in a container")
    return seconds


def container_figure(seconds: Sequence[float]) -> Figure:
    """How the times of containers, in seconds, are spread."""
    ordered = sorted(seconds)
    median = ordered[len(ordered) // 2]
    figure, axes = _axes(height=2.4)
    axes.hist([1000 * value for value in ordered], bins=30, color=_BAR, edgecolor="white")
    axes.axvline(1000 * median, color=_EDGE, linewidth=1)
    note = f" median {1000 * median:.0f} ms"
    axes.annotate(note, (1000 * median, 0.9), xycoords=("data", "axes fraction"), fontsize=8)
    axes.set_xlabel("milliseconds from nothing to nothing")
    axes.set_ylabel("containers")
    return _drawn(figure, f"{len(ordered)} containers, one after another")


def _axes(height: float) -> tuple[Any, Any]:
    # The Figure class itself, and not pyplot: no global state, no window, no front end asked.
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(7.2, height), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_fontsize(9)
    return figure, axes


def _drawn(figure: Any, caption: str) -> Figure:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return Figure(caption, buffer.getvalue())
