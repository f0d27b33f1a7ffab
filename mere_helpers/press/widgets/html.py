"""What widgets show: HTML of rows, texts and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from ...errors import MereError

_VIEW = "application/vnd.jupyter.widget-view+json"


class Shown:
    """A widget where there are widgets, and elsewhere a text about it."""

    def __init__(self, widget: Any, text: str = "") -> None:
        self.widget, self._text = widget, text

    def __repr__(self) -> str:
        return self._text

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        # A notebook that is saved now keeps the text and the widget's number, and nothing that it showed.
        return {"text/plain": self._text, _VIEW: self.widget._repr_mimebundle_()[_VIEW]}


def html_of(action: Callable[[], str]) -> str:
    """The HTML that `action` gives; or its error, in words and without a traceback."""
    try:
        return action()
    except Exception as error:
        more = "" if isinstance(error, MereError) else "\nThis is a mistake in mere_helpers; please report it."
        return printed(f"{type(error).__name__}: {error}{more}")


def printed(text: str, lines: int = 0) -> str:
    """A text as a terminal would show it; in a window of so many lines that stands at the end, or as high as it is."""
    font = "line-height: 1.3; font-size: 12px; font-family: var(--jp-code-font-family, monospace)"
    # Of its full height whatever the front end says of `pre`: one that shrinks shows its beginning and not its end.
    pre = f'<pre style="margin: 0 0 auto; flex: none; {font}">{escape(text)}</pre>'
    if not lines:
        return pre
    # A column that begins at its lower end is scrolled to it.
    window = f"height: {1.3 * 12 * lines + 12:.0f}px; overflow: auto; display: flex; flex-direction: column-reverse"
    window += "; background: var(--jp-cell-editor-background, transparent); padding: 4px 8px"
    return f'<div style="{window}">{pre}</div>'


def grid(rows: Iterable[Iterable[str]], columns: Iterable[str] = ()) -> str:
    """A plain table; lines of a cell stay lines."""
    style = "padding: 0 1.5em 0 0; line-height: 1.5; text-align: left; vertical-align: top; white-space: pre-line"
    head = "".join(f'<th style="{style}; font-weight: normal; opacity: .65">{escape(name)}</th>' for name in columns)
    cells = ("".join(f'<td style="{style}">{escape(cell)}</td>' for cell in row) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f"<table><tr>{head}</tr>{body}</table>"
