"""The way to the reader's front end and back: how a widget is shown there, and how one of its buttons stops a cell."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from ..errors import MereError
from ..report import Text

_VIEW = "application/vnd.jupyter.widget-view+json"

#: The colours of the front end's own editor, so that they suit its theme; then some that suit any.
_COLOURS = """<style>
.mere-code { overflow-x: auto; }
.mere-code pre { line-height: 1.35; }
.mere-code [class^=c] { color: var(--jp-mirror-editor-comment-color, #7f8790); font-style: italic; }
.mere-code [class^=k] { color: var(--jp-mirror-editor-keyword-color, #3f9142); font-weight: bold; }
.mere-code [class^=s] { color: var(--jp-mirror-editor-string-color, #d0574b); }
.mere-code [class^=m] { color: var(--jp-mirror-editor-number-color, #3f9142); }
.mere-code .nv { color: var(--jp-mirror-editor-variable-2-color, #4a86c0); }
.mere-code .nb { color: var(--jp-mirror-editor-builtin-color, #4a86c0); }
</style>"""


class Shown:
    """A widget where there are widgets, and elsewhere a text about it."""

    def __init__(self, widget: Any, text: Text) -> None:
        self.widget, self._text = widget, text

    def __repr__(self) -> str:
        return repr(self._text)

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        # A notebook that is saved now keeps the text and the widget's number, and nothing that it showed.
        return {"text/plain": repr(self._text), _VIEW: self.widget._repr_mimebundle_()[_VIEW]}


def interrupt_cell() -> None:
    """Do to the cell that runs what interrupting the kernel does to it."""
    main = threading.main_thread().ident
    if main is not None:
        # Sent to this very thread, so that it wakes from whatever it waits for.
        signal.pthread_kill(main, signal.SIGINT)


def answers() -> bool:
    """Whether the front end can tell us something while a cell runs: it has opened a subshell of the kernel for it."""
    from IPython import get_ipython

    shell_channel = getattr(getattr(get_ipython(), "kernel", None), "shell_channel_thread", None)
    return shell_channel is not None and bool(shell_channel.manager.list_subshell())


def html_of(action: Callable[[], str]) -> str:
    """The HTML that `action` gives; or its error, in words and without a traceback."""
    try:
        return action()
    except MereError as error:
        return printed(f"{type(error).__name__}: {error}")
    except Exception as error:
        return printed(f"{type(error).__name__}: {error}\nThis is a mistake in mere_helpers; please report it.")


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


def highlighted(text: Text) -> str:
    """A text in the colours of the front end's editor."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    lexer = get_lexer_by_name(text.language or "text")
    return _COLOURS + str(highlight(text.text, lexer, HtmlFormatter(cssclass="mere-code")))


def grid(rows: Iterable[Iterable[str]], columns: Iterable[str] = ()) -> str:
    """Rows of HTML as a plain table."""
    cells = "padding: 0 1.5em 0 0; line-height: 1.5; text-align: left; vertical-align: top; font-weight: normal"
    head = "".join(f'<th style="{cells}; opacity: .65">{name}</th>' for name in columns)
    body = "".join("<tr>" + "".join(f'<td style="{cells}">{cell}</td>' for cell in row) + "</tr>" for row in rows)
    return f"<table>{f'<tr>{head}</tr>' if head else ''}{body}</table>"
