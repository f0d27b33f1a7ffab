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

#: Inches. As narrow as this, letters keep their size on a phone.
_WIDTH = 4.6

_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "svg.fonttype": "none",
    "svg.hashsalt": "mere",
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes
    ----------
    caption : str
        What it shows.
    text : str
        What can be seen on it, in words.
    svg : str
        The picture, for pages; empty where it would differ from machine to machine and so cannot be compared.
    png : bytes
        The picture, for paper.
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


def drawn(draw: Callable[[Any], None], *, height: float, caption: str, text: str, compared: bool = True) -> Figure:
    """Let `draw` fill a matplotlib figure, and make a `Figure` of it.

    Parameters
    ----------
    draw : callable
        Gets the figure.
    height : float
        In inches.
    caption, text : str
        See `Figure`.
    compared : bool, optional
        Whether the picture is the same on every machine.
    """
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
    svg = svg[svg.index("<svg") :] if svg else ""
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(text)}" ', 1)
    return svg.replace(_INK, "currentColor").strip()
