"""Sphinx extension: what Sphinx, docutils and myst-nb leave to be mended in the pages and in the e-book."""

from __future__ import annotations

import re
from posixpath import normpath
from typing import Any

from myst_nb.sphinx_ext import add_global_html_resources
from sphinx.application import Sphinx
from sphinx.builders.epub3 import Epub3Builder

_SUMMARY = re.compile(r"<summary\b.*?</summary>", re.DOTALL)


class EbookBuilder(Epub3Builder):
    """Makes an e-book whose first page lies in a folder, and others in another one."""

    def copy_static_files(self) -> None:
        """Copy myst-nb's style sheet, too; myst-nb does so when the e-book is packed already."""
        super().copy_static_files()
        add_global_html_resources(self.app, None)

    def toc_add_files(self, refnodes: list[dict[str, Any]]) -> None:
        """Write ``book/../notebooks/a.xhtml`` as what it is, else the contents and the list of files disagree."""
        for node in refnodes:
            node["refuri"] = normpath(node["refuri"])
        super().toc_add_files(refnodes)


def setup(app: Sphinx) -> dict[str, Any]:
    """Take the e-book's builder in place of Sphinx's own, and look through every page before it is written."""
    app.add_builder(EbookBuilder, override=True)
    app.connect("html-page-context", _mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _mend(app: Sphinx, name: str, template: str, context: dict[str, Any], tree: object) -> None:
    body = context.get("body", "")
    # A list has items, says ARIA; the role that docutils gives them is no longer one.
    body = body.replace('role="doc-biblioentry"', 'role="listitem"')
    if app.builder.name == EbookBuilder.name:
        # The handle of a fold is a line, and XHTML allows no paragraph in it.
        body = _SUMMARY.sub(lambda found: re.sub(r"(</?)p\b", r"\1span", found[0]), body)
    context["body"] = body
