"""The words one can play with: two lines without a front end, and a widget with one."""

from __future__ import annotations

from typing import Any

import pytest

from mere_helpers import board, console, explorer, picker
from mere_helpers.config import load_config
from mere_helpers.errors import MereError
from mere_helpers.press.table import Text
from mere_helpers.press.widgets.html import Shown

pytestmark = pytest.mark.usefixtures("own_store")

WORDS = {"picker": lambda: picker("zlib"), "explorer": lambda: explorer("zlib"), "board": board, "console": console}


@pytest.mark.parametrize("name", WORDS)
def test_without_a_front_end_there_are_words(name: str) -> None:
    text = WORDS[name]()
    assert isinstance(text, Text) and max(map(len, str(text).splitlines())) < 100
    assert str(text).endswith("\nRun this cell in JupyterLab to use it: .venv/bin/jupyter lab")
    assert not load_config().store.exists()


@pytest.mark.parametrize("call", [lambda: picker("zlip"), lambda: explorer("zlip"), lambda: console(["musl", "zlip"])])
def test_a_wrong_name_is_an_error_at_once(call: Any) -> None:
    with pytest.raises(MereError, match="zlip"):
        call()


@pytest.mark.parametrize("name", ["picker", "explorer", "board"])
def test_with_a_front_end_there_is_a_widget(name: str, request: pytest.FixtureRequest) -> None:
    text = WORDS[name]()
    request.getfixturevalue("front_end")
    shown = WORDS[name]()
    assert isinstance(shown, Shown)
    bundle = shown._repr_mimebundle_()
    # What a saved notebook keeps: the same line, and which widget it was.
    assert bundle.keys() == {"text/plain", "application/vnd.jupyter.widget-view+json"}
    assert bundle["text/plain"] == repr(text) == repr(shown)
