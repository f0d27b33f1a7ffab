"""Words whose cells one can play with: in a front end each shows a widget, and elsewhere some words about it."""

from __future__ import annotations

from collections.abc import Sequence

from ..config import load_config
from ..recipes.plan import ROUNDS, Plan
from ..recipes.recipe import load_recipe
from ..report import Text
from ..watching import live
from ..watching.frontend import Shown
from .wanted import root_of

__all__ = ["board", "console", "explorer", "picker"]

_OPEN = "Run this cell in JupyterLab to use it: .venv/bin/jupyter lab"


def picker(name: str = "musl") -> Shown | Text:
    """Choose a recipe and a part of it; `name` comes first."""
    id = load_recipe(load_config(), name).id
    text = Text(f"A list of all recipes: choose one and a part of it, and see it, its sources and its users.\n{_OPEN}")
    if not live.front_end():
        return text
    from .controls import picker_widget

    return Shown(picker_widget(load_config(), id), text)


def explorer(name: str = "musl") -> Shown | Text:
    """Choose a build, and see what it needs and what needs it; `name` comes first."""
    id = load_recipe(load_config(), name).id
    text = Text(f"The graph of all builds: choose one, and see what it needs and what needs it.\n{_OPEN}")
    if not live.front_end():
        return text
    from .controls import explorer_widget

    return Shown(explorer_widget(load_config(), id), text)


def board() -> Shown | Text:
    """What is there: the source files and whether they are verified, the builds and whether they failed."""
    text = Text(f"A board: which source files are there and verified, what is built, missing or failed.\n{_OPEN}")
    if not live.front_end():
        return text
    from .controls import board_widget

    return Shown(board_widget(load_config()), text)


def console(inside: str | Sequence[str] = "system") -> Shown | Text:
    """A field for commands, each of which is run in a container of its own.

    Parameters
    ----------
    inside : str or sequence of str, optional
        What is in the container, as for `run`; what of it is missing is built first.
    """
    config = load_config()
    names = [inside] if isinstance(inside, str) else list(inside)
    graph = Plan.from_recipes(config)
    graph.stack(name for name in names if name not in ("system", "temptools", *ROUNDS[1:2]))
    what = ", ".join(names)
    text = Text(f"A field for commands, each of which is run in a new container. Inside: {what}.\n{_OPEN}")
    if not live.front_end():
        return text
    from .controls import console_widget

    return Shown(console_widget(config, what, *root_of(config, inside)), text)
