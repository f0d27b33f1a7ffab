"""What a cell shows: tables and texts that look the same on every machine and in every run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

from ..frontend import front_end
from ..text import printable

_NUMBER = re.compile(r"-?[\d,]+(\.\d+)?( ([KMGT]i)?B| s| %)?")


@dataclass(frozen=True, repr=False)
class Table:
    """Rows under column names, as aligned text or as an HTML table, and a note below; each row has all columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        lines = []
        for row in (self.columns, ["-" * width for width in widths], *self.rows):
            cells = zip(row, self._alignments(), widths, strict=True)
            lines.append("  ".join(f"{cell:{'>' if side == 'right' else '<'}{width}}" for cell, side, width in cells))
        return printable("\n".join([*(line.rstrip() for line in lines), *filter(None, [self.note])]))

    def _repr_html_(self) -> str:
        # The class keeps JupyterLab from taking what stands between two dollar signs for mathematics.
        lines = ['<table class="tex2jax_ignore">', f"<thead>{self._html_row('th', self.columns)}</thead>", "<tbody>"]
        lines += [*(self._html_row("td", row) for row in self.rows), "</tbody>", "</table>"]
        if self.note:
            lines.append(f"<p>{escape(self.note)}</p>")
        return printable("\n".join(lines))

    def _html_row(self, tag: str, cells: tuple[str, ...]) -> str:
        pairs = zip(cells, self._alignments(), strict=True)
        html = (f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>' for cell, side in pairs)
        return f"<tr>{''.join(html)}</tr>"

    def _alignments(self) -> list[str]:
        """Columns that hold nothing but numbers and sizes stand at the right."""
        columns = list(zip(*self.rows, strict=True)) or [("text",)] * len(self.columns)
        return ["right" if all(map(_NUMBER.fullmatch, column)) else "left" for column in columns]


@dataclass(frozen=True, repr=False)
class Text:
    """A text, highlighted in HTML when its language, as pygments knows it, is given."""

    text: str
    language: str = ""

    def __repr__(self) -> str:
        return printable(self.text)

    def _repr_html_(self) -> str:
        # JupyterLab breaks lines of a `pre` in the middle of a word. What is committed is the same everywhere.
        unbroken = "white-space: pre; overflow-x: auto" if front_end() else ""
        if not self.language:
            style = f' style="{unbroken}"' if unbroken else ""
            return f"<pre{style}>{escape(printable(self.text))}</pre>"
        # Imported late: the command line shows plain text and should not pay for it.
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import get_lexer_by_name

        # Styles inside the elements, because no front end is sure to have the style sheet.
        formatter = HtmlFormatter(noclasses=True, nobackground=True, prestyles=unbroken)
        return str(highlight(printable(self.text), get_lexer_by_name(self.language), formatter))
