"""What a picture shows, read from its SVG: words, and how long its bars are on the scale of an axis."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from typing import NamedTuple

from mere_helpers.press.drawing import BLUE, RED

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_FILL = re.compile(rf"fill: ({BLUE}|{RED})\b")


class Bar(NamedTuple):
    """From where to where, in the points of the picture, which count from its upper left corner."""

    left: float
    right: float
    top: float
    bottom: float
    colour: str


def words(svg: str) -> list[str]:
    """All texts, in the order in which they were drawn."""
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{_SVG}text")]


def bars(svg: str) -> list[Bar]:
    """All bars, in the order in which they were drawn."""
    root = ElementTree.fromstring(svg)
    defined = {f"#{path.get('id')}": path for path in root.iter(f"{_SVG}path")}
    found = []
    for element in root.iter():
        if fill := _FILL.search(element.get("style", "")):
            # A bar is drawn at once, or defined and then used.
            path = defined.get(element.get(_HREF, ""), element)
            corners = re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path.attrib["d"])
            across = [float(x) + float(element.get("x", 0)) for x, _ in corners]
            down = [float(y) + float(element.get("y", 0)) for _, y in corners]
            found.append(Bar(min(across), max(across), min(down), max(down), fill[1]))
    return found


def rows(svg: str) -> list[tuple[Bar, list[str]]]:
    """All bars, each with the texts at its height from left to right: its name, and what is said of it."""
    texts = [text for text in ElementTree.fromstring(svg).iter(f"{_SVG}text") if text.get("y")]
    texts.sort(key=lambda text: float(text.attrib["x"]))
    return [
        (bar, [text.text or "" for text in texts if bar.top <= float(text.attrib["y"]) <= bar.bottom])
        for bar in bars(svg)
    ]


def scale(svg: str, label: str) -> Callable[[float], float]:
    """From points to the numbers of the horizontal axis with this label, which is not logarithmic."""
    (axis,) = [
        group
        for group in ElementTree.fromstring(svg).iter(f"{_SVG}g")
        if group.get("id", "").startswith("matplotlib.axis") and group.findtext(f"{_SVG}g/{_SVG}text") == label
    ]
    ticks = [
        (float(tick.find(f".//{_SVG}use").attrib["x"]), float(tick.findtext(f".//{_SVG}text")))
        for tick in axis.iter(f"{_SVG}g")
        if tick.get("id", "").startswith("xtick")
    ]
    (start, first), (end, last) = ticks[0], ticks[-1]
    return lambda x: first + (x - start) * (last - first) / (end - start)
