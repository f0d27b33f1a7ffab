"""The widgets behind `picker`, `explorer`, `board` and `console`. An error is shown in the widget, in words."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets

from ..config import Config
from ..containers.sandbox import Bind
from ..drawing import charts
from ..drawing.relations import relations
from ..errors import MereError
from ..recipes.plan import Plan, plain_name
from ..recipes.recipe import Recipe, load_recipes
from ..report import Table
from ..watching.frontend import grid, highlighted, html_of, printed
from ..watching.stock import build_stock, source_stock
from .desk import run_in_container
from .looking import show

_WHOLE = "the whole recipe"
_PINS = "its sources"

#: Lines that a console remembers.
_CONSOLE_LINES = 400
_CONSOLE_HEIGHT = 16
#: Of what may be long: it is scrolled, and what one chooses from stays in sight.
_WINDOW = {"max_height": "22em", "overflow": "auto"}

#: Seconds in which the text of a line is here: the front end tells of the key that ends it a moment before.
_SETTLED = 0.2

#: A label as wide as its word.
_SNUG = {"description_width": "initial"}


def picker_widget(config: Config, id: str) -> Any:
    """A list of recipes, a list of their parts, and what was chosen."""
    recipes = load_recipes(config)
    which = ipywidgets.Dropdown(options=list(recipes), value=id, description="Recipe", style=_SNUG)
    part = ipywidgets.Dropdown(description="Part", style=_SNUG)
    about, text = ipywidgets.HTML(), ipywidgets.HTML(layout=_WINDOW)

    def choose(change: Any = None) -> None:
        about.value = html_of(lambda: _about(recipes, recipes[which.value]))
        part.options, part.value = _parts(config, recipes[which.value]), _WHOLE
        look()

    def look(change: Any = None) -> None:
        text.value = html_of(lambda: _part(recipes[which.value], part.value))

    choose()
    which.observe(choose, "value")
    part.observe(look, "value")
    return ipywidgets.VBox([ipywidgets.HBox([which, part]), about, text])


def explorer_widget(config: Config, id: str) -> Any:
    """A list of builds, and a picture of those around the one that was chosen."""
    needs = relations(Plan.from_recipes(config))
    which = ipywidgets.Dropdown(options=list(needs), value=id, description="Build", style=_SNUG)
    deep = ipywidgets.Checkbox(description="and what follows from that", indent=False)
    picture = ipywidgets.HTML(layout={"max_width": "40em"})

    def picture_of() -> str:
        figure = charts.neighbour_chart(needs, which.value, deep=deep.value)
        return f'<p style="line-height: 1.5">{escape(figure.text)}</p>{figure.svg}'

    def draw(change: Any = None) -> None:
        picture.value = html_of(picture_of)

    draw()
    which.observe(draw, "value")
    deep.observe(draw, "value")
    return ipywidgets.VBox([ipywidgets.HBox([which, deep]), picture])


def board_widget(config: Config) -> Any:
    """Tables of sources and builds, one at a time, and how many are in which state."""
    shelf = ipywidgets.Dropdown(description="Show", style=_SNUG)
    refresh = ipywidgets.Button(description="Refresh", tooltip="look again")
    verify = ipywidgets.Button(description="Verify sources", tooltip="hash every source file")
    summary, details = ipywidgets.HTML(), ipywidgets.HTML(layout=_WINDOW)
    tables: dict[str, Table] = {}

    def look(verified: bool) -> str:
        tables.update({"sources": source_stock(config, verify=verified), **build_stock(config)})
        if shelf.options != tuple(tables):
            shelf.options, shelf.value = tuple(tables), "sources"
        return grid([(escape(name), escape(table.note)) for name, table in tables.items()])

    def fill(verified: bool) -> Callable[[Any], None]:
        def pressed(button: Any) -> None:
            refresh.disabled = verify.disabled = True
            summary.value = html_of(lambda: look(verified))
            refresh.disabled = verify.disabled = False
            choose()

        return pressed

    def choose(change: Any = None) -> None:
        table = tables.get(shelf.value)
        details.value = grid([[escape(cell) for cell in row] for row in table.rows], table.columns) if table else ""

    fill(False)(refresh)
    refresh.on_click(fill(False))
    verify.on_click(fill(True))
    shelf.observe(choose, "value")
    return ipywidgets.VBox([ipywidgets.HBox([refresh, verify]), summary, shelf, details])


def console_widget(config: Config, what: str, layers: Sequence[Path], binds: Sequence[Bind]) -> Any:
    """A field for a command, and what the commands so far have printed."""
    line = ipywidgets.Text(
        placeholder="a command for sh, then Enter", layout={"width": "30em"}, continuous_update=False
    )
    halt = ipywidgets.Button(description="Stop", disabled=True, tooltip="end the command that runs")
    said = ipywidgets.HTML(printed("", _CONSOLE_HEIGHT))
    lines: deque[str] = deque(maxlen=_CONSOLE_LINES)
    stop, turn = threading.Event(), threading.Lock()

    def say(text: str) -> None:
        lines.extend(text.splitlines())
        said.value = printed("\n".join(lines), _CONSOLE_HEIGHT)

    def execute(command: str) -> None:
        line.value, halt.disabled = "", False
        stop.clear()
        say(f"$ {command}")
        try:
            result = run_in_container(config, command, layers, binds, stop=stop)
        except MereError as error:
            result = str(error)
        except Exception as error:
            result = f"{type(error).__name__}: {error}"
        say(result)
        halt.disabled = True

    def take() -> None:
        try:
            time.sleep(_SETTLED)
            if line.value.strip():
                execute(line.value)
        finally:
            turn.release()

    def submit(widget: Any, content: Any, buffers: Any) -> None:
        # The field stays open while a command runs, or it would lose the focus; what is entered then waits in it.
        if content.get("event") == "submit" and turn.acquire(blocking=False):
            # A thread of its own, so that the button can still be heard.
            threading.Thread(target=take, name="console", daemon=True).start()

    line.on_msg(submit)
    halt.on_click(lambda button: stop.set())
    about = (
        f"Inside: <b>{escape(what)}</b>. Each command has a new container and a copy of the desk; both are gone when "
        "it ends: nothing that one changes is there for the next."
    )
    return ipywidgets.VBox(
        [ipywidgets.HTML(f'<p style="line-height: 1.5">{about}</p>'), ipywidgets.HBox([line, halt]), said]
    )


def _about(recipes: Mapping[str, Recipe], recipe: Recipe) -> str:
    """What a recipe says about itself, and what others say about it."""
    ours = {recipe.id, *recipe.packages}
    users = [other.id for other in recipes.values() if other.id != recipe.id and _asked_for(other) & ours]
    files = [f"{source.name} <small>sha256 {source.sha256[:12]}…</small>" for source in recipe.sources]
    rows = [
        ("version", escape(recipe.version)),
        ("what it is", escape(recipe.description)),
        ("licence", escape(", ".join(recipe.licence))),
        ("sources", "<br>".join(files)),
        ("asks for", escape(", ".join(sorted(_asked_for(recipe) - ours)))),
        ("asked for by", escape(", ".join(users))),
    ]
    return grid((f'<span style="opacity: .65">{name}</span>', value) for name, value in rows if value)


def _asked_for(recipe: Recipe) -> set[str]:
    names = {*recipe.makedepends, *(name for depends in recipe.depends.values() for name in depends)}
    return {plain_name(name) for name in names}


def _parts(config: Config, recipe: Recipe) -> list[str]:
    functions = re.findall(r"^([\w.@+-]+) *\(\) *\{", recipe.path.read_text(), re.MULTILINE)
    pins = [_PINS] if recipe.packages and recipe.sources else []
    return [_WHOLE, *pins, *functions, *(str(path.relative_to(config.recipes)) for path in recipe.files[1:])]


def _part(recipe: Recipe, part: str) -> str:
    if part == _WHOLE:
        return highlighted(show(recipe.id))
    if part == _PINS:
        return highlighted(show(recipe.id, "source"))
    return highlighted(show(part) if "/" in part else show(recipe.id, part))
