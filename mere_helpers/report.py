"""What a cell shows: tables and texts that look the same on every machine and in every run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

from .printable import printable

_NUMBER = re.compile(r"-?[\d,]+(\.\d+)?( ([KMGT]i)?B| s| %)?")


@dataclass(frozen=True, repr=False)
class Table:
    """Rows under column names, as aligned text or as an HTML table.

    Parameters
    ----------
    columns : tuple of str
        The names at the top.
    rows : tuple of tuple of str
        As many cells a row as there are columns.
    title : str, optional
        A line above.
    note : str, optional
        A line below.

    Raises
    ------
    ValueError
        A row is shorter or longer than `columns`.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{len(row)} cells in a row of {len(self.columns)} columns: {row}")

    def __repr__(self) -> str:
        columns = list(zip(self.columns, *self.rows, strict=True))
        widths = [max(map(len, column)) for column in columns]
        rights = self._right_aligned()
        lines = [self.title] if self.title else []
        for row in (self.columns, tuple("-" * width for width in widths), *self.rows):
            cells = (
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(row, widths, rights, strict=True)
            )
            lines.append("  ".join(cells).rstrip())
        if self.note:
            lines.append(self.note)
        return printable("\n".join(lines))

    def _repr_html_(self) -> str:
        rights = self._right_aligned()
        # The class keeps JupyterLab from taking what stands between two dollar signs for mathematics.
        lines = ['<table class="tex2jax_ignore">']
        if self.title:
            lines.append(f"<caption>{escape(self.title)}</caption>")
        lines.append(f"<thead>{_html_row('th', self.columns, rights)}</thead>")
        lines.append("<tbody>")
        lines += [_html_row("td", row, rights) for row in self.rows]
        lines.append("</tbody>")
        lines.append("</table>")
        if self.note:
            lines.append(f"<p>{escape(self.note)}</p>")
        return printable("\n".join(lines))

    def _right_aligned(self) -> list[bool]:
        """Which columns hold nothing but numbers and sizes."""
        return [
            bool(self.rows) and all(_NUMBER.fullmatch(row[index]) for row in self.rows)
            for index in range(len(self.columns))
        ]


@dataclass(frozen=True, repr=False)
class Text:
    """A text, highlighted in HTML when its language is known.

    Parameters
    ----------
    text : str
        Shown as it is, but for control characters.
    language : str, optional
        A name that pygments knows, such as ``bash``.
    """

    text: str
    language: str = ""

    def __repr__(self) -> str:
        return printable(self.text)

    def _repr_html_(self) -> str:
        # Imported late: this is a matter of the notebook; the pages of the book have a style sheet of their own.
        from .watching.live import front_end

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


def size(n: int) -> str:
    """A number of bytes for people.

    MiB from a tenth of one up, so that most rows of a column share their unit and can be compared at a glance.

    >>> size(943718)
    '0.9 MiB'
    """
    for unit, factor, start in (
        ("GiB", 1 << 30, 1 << 30),
        ("MiB", 1 << 20, (1 << 20) // 10),
        ("KiB", 1 << 10, 1 << 10),
    ):
        if n >= start:
            return f"{n / factor:.1f} {unit}"
    return f"{n} B"


def _html_row(element: str, cells: tuple[str, ...], rights: list[bool]) -> str:
    aligned = (
        f'<{element} style="text-align: {"right" if right else "left"}">{escape(cell)}</{element}>'
        for cell, right in zip(cells, rights, strict=True)
    )
    return f"<tr>{''.join(aligned)}</tr>"
