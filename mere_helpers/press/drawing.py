"""Pictures for the book: drawn without a front end, in the colours of the page that shows them, with a text for those
who cannot see them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from typing import Any

#: Colours that can be seen on a light page and on a dark one.
BLUE, RED, GREY = "#4a86c0", "#d0574b", "#8a8f98"

#: Stands for the colour of the page's text.
_INK = "#010203"
_INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
_STYLE: dict[Any, Any] = {"font.size": 8, "svg.fonttype": "none", "svg.hashsalt": "mere"} | dict.fromkeys(_INKED, _INK)

#: Inches. As narrow as this, letters keep their size on a phone.
_WIDTH = 4.6


@dataclass(frozen=True)
class Figure:
    """A picture, its caption, and what can be seen on it in words: `svg` for pages, `png` for paper.

    `svg` is empty where the picture would differ from machine to machine and so cannot be compared.
    """

    caption: str
    text: str
    svg: str = field(repr=False)
    png: bytes = field(repr=False)

    def __repr__(self) -> str:
        return f"figure: {self.caption}. {self.text}"

    def _repr_html_(self) -> str | None:
        if not self.svg:
            return None
        said = escape(f"{self.caption}. {self.text}")
        # The limit of the book's own style sheet, for front ends, which do not have it.
        return f'<figure class="mere" style="max-width:36rem">{self.svg}<figcaption>{said}</figcaption></figure>'

    def _repr_png_(self) -> bytes:
        return self.png


def drawn(draw: Callable[[Any], object], *, height: float, caption: str, text: str, compared: bool = True) -> Figure:
    """Let `draw` fill a matplotlib figure, `height` inches high, and make a `Figure` of it."""
    # The Figure class itself, and not pyplot: no global state, no window, no front end asked.
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Canvas

    with rc_context(_STYLE):
        canvas = Canvas(figsize=(_WIDTH, height), layout="constrained")
        draw(canvas)
        for axes in canvas.axes:
            axes.set_facecolor("none")
            axes.spines[["top", "right"]].set_visible(False)
        svg, png = io.StringIO(), io.BytesIO()
        if compared:
            canvas.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        canvas.savefig(png, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    return Figure(caption, text, _inline(svg.getvalue(), text), png.getvalue())


def _inline(svg: str, text: str) -> str:
    """Only the element itself, as wide as there is room, in the colour of the text around it."""
    svg = re.sub(r"^.*?(?=<svg)|<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(text)}" ', 1)
    return svg.replace(_INK, "currentColor").strip()
