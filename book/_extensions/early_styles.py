"""Sphinx extension: the style sheet of myst-nb, in time.

myst-nb copies it when all is built; by then an e-book is packed already, without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from myst_nb.sphinx_ext import add_global_html_resources
from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    """Copy it when the build begins."""
    app.connect("builder-inited", _copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _copy(app: Sphinx) -> None:
    Path(app.outdir, "_static").mkdir(parents=True, exist_ok=True)
    add_global_html_resources(app, None)
