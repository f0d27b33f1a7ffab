"""Words whose cells one can play with: in a front end each shows a widget, and elsewhere some words about it.

An error is shown in the widget, in words.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets

from ...config import Config
from ...errors import MereError, SourceError
from ...fetching.cache import Source, source_path, verified_path
from ...frontend import front_end
from ...planning.plan import ROUNDS, Plan, plain_name
from ...planning.recipe import Recipe
from ...session import Session
from ...text import size
from ..charts import neighbour_chart
from ..default import session
from ..show import show
from ..table import Table, Text
from ..workspace import run_in_container
from .html import Shown, grid, html_of, printed

_WHOLE = "the whole recipe"
_PINS = "its sources"

#: Lines that a console remembers, and those that it shows.
_CONSOLE_LINES, _CONSOLE_HEIGHT = 400, 16

#: Of what may be long: it is scrolled, and what one chooses from stays in sight.
_WINDOW = {"max_height": "22em", "overflow": "auto"}

#: Seconds in which the text of a line is here: the front end tells of the key that ends it a moment before.
_SETTLED = 0.2

_Run = Callable[[str, threading.Event], str]


def picker(name: str = "musl") -> Shown | Text:
    """Choose a recipe and a part of it; `name` comes first."""
    now, id = session(), session().recipe(name).id
    about = "A list of all recipes: choose one and a part of it, and see it, its sources and its users."
    return _shown(about, lambda: picker_widget(now, id))


def explorer(name: str = "musl") -> Shown | Text:
    """Choose a build, and see what it needs and what needs it; `name` comes first."""
    now, id = session(), session().recipe(name).id
    about = "The graph of all builds: choose one, and see what it needs and what needs it."
    return _shown(about, lambda: explorer_widget(now.plan, id))


def board() -> Shown | Text:
    """What is there: the source files and whether they are verified, the builds and whether they failed."""
    about = "A board: which source files are there and verified, what is built, missing or failed."
    return _shown(about, lambda: board_widget(session()))


def console(inside: str | Sequence[str] = "system") -> Shown | Text:
    """A field for commands, each of which is run in a container of its own.

    What is in the container is named as for `run`; what of it is missing is built first.
    """
    now, names = session(), [inside] if isinstance(inside, str) else list(inside)
    now.plan.stack(name for name in names if name not in ("system", "temptools", *ROUNDS[1:2]))
    what = ", ".join(names)

    def widget() -> Any:
        root = now.root(inside)
        return console_widget(what, lambda command, stop: run_in_container(now.config, command, *root, stop=stop))

    return _shown(f"A field for commands, each of which is run in a new container. Inside: {what}.", widget)


def _shown(about: str, widget: Callable[[], Any]) -> Shown | Text:
    text = f"{about}\nRun this cell in JupyterLab to use it: .venv/bin/jupyter lab"
    return Shown(widget(), text) if front_end() else Text(text)


def picker_widget(now: Session, id: str) -> Any:
    """A list of recipes, a list of their parts, and what was chosen."""
    recipes = {recipe.id: recipe for recipe in now.recipes()}
    which, part = _choice("Recipe", recipes, value=id), _choice("Part")

    def parts() -> str:
        part.options, part.value = _parts(now.config, recipes[which.value]), _WHOLE
        return grid(_about(recipes, recipes[which.value]))

    about = _view(parts, which)
    return _box([which, part], about, _view(lambda: _part(recipes[which.value], part.value), which, part, **_WINDOW))


def explorer_widget(plan: Plan, id: str) -> Any:
    """A list of builds, and a picture of those around the one that was chosen."""
    needs = relations(plan)
    which = _choice("Build", needs, value=id)
    deep = ipywidgets.Checkbox(description="and what follows from that", indent=False)

    def picture() -> str:
        figure = neighbour_chart(needs, which.value, deep=deep.value)
        return f'<p style="line-height: 1.5">{escape(figure.text)}</p>{figure.svg}'

    return _box([which, deep], _view(picture, which, deep, max_width="40em"))


def board_widget(now: Session) -> Any:
    """Tables of sources and builds, one at a time, and how many are in which state."""
    shelf = _choice("Show")
    refresh = ipywidgets.Button(description="Refresh", tooltip="look again")
    verify = ipywidgets.Button(description="Verify sources", tooltip="hash every source file")
    tables: dict[str, Table] = {}

    def look(button: Any = None) -> None:
        refresh.disabled = verify.disabled = True
        summary.value = html_of(lambda: counts(button is verify))
        refresh.disabled = verify.disabled = False
        details.value = table()

    def counts(verified: bool) -> str:
        tables.update({"sources": source_stock(now, verify=verified), **build_stock(now)})
        if shelf.options != tuple(tables):
            shelf.options, shelf.value = tuple(tables), "sources"
        return grid((name, table.note) for name, table in tables.items())

    def table() -> str:
        return grid(tables[shelf.value].rows, tables[shelf.value].columns) if shelf.value else ""

    summary, details = ipywidgets.HTML(), _view(table, shelf, **_WINDOW)
    look()
    refresh.on_click(look)
    verify.on_click(look)
    return _box([refresh, verify], summary, shelf, details)


def console_widget(what: str, run: _Run) -> Any:
    """A field for a command, and what the commands so far have printed; `run` gets a command and what stops it."""
    about = (
        f"Inside: <b>{escape(what)}</b>. Each command has a new container and a copy of the desk; both are gone when "
        "it ends: nothing that one changes is there for the next."
    )
    hint = "a command for sh, then Enter"
    line = ipywidgets.Text(placeholder=hint, layout={"width": "30em"}, continuous_update=False)
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
            say(run(command, stop))
        except MereError as error:
            say(str(error))
        except Exception as error:
            say(f"{type(error).__name__}: {error}")
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
    return ipywidgets.VBox([ipywidgets.HTML(f'<p style="line-height: 1.5">{about}</p>'), _box([line, halt], said)])


def relations(plan: Plan) -> dict[str, tuple[str, ...]]:
    """What each build of a recipe needs directly, by id; each comes behind what it needs.

    The plan lists for a build everything that is in its container. A dependency that another dependency of the same
    build needs already is left out here, and so are the later rounds, which repeat the first one.
    """
    all_needed: dict[str, set[str]] = {}
    direct = {}
    for id in plan.order():
        if id.partition("/")[0] not in ROUNDS[1:]:
            needed = [other for other in all_needed if other in plan.dependencies(id)]
            implied = {other for one in needed for other in all_needed[one]}
            all_needed[id] = {*needed, *implied}
            direct[id] = tuple(other for other in needed if other not in implied)
    return direct


def source_stock(now: Session, *, verify: bool = False) -> Table:
    """The source files of all recipes, and which of them are there; `verify` hashes each of these."""
    # Some recipes share a file, which `fetch` counts once.
    sources: dict[tuple[str, str], list[Source]] = {}
    for source in (source for recipe in now.recipes() for source in recipe.sources):
        sources.setdefault((source.name, source.sha256), []).append(source)
    rows = []
    for (name, _), shared in sorted(sources.items()):
        users = ", ".join(sorted({source.recipe for source in shared}))
        rows.append((name, users, *_source_state(now.config, shared[0], verify)))
    return _stock("file", "recipe", rows)


def build_stock(now: Session) -> dict[str, Table]:
    """For each stage its builds, with the size of what they made: built, failed, or not tried yet."""
    plan = now.plan
    rows: dict[str, list[tuple[str, str, int, str]]] = {stage: [] for stage in plan.stages}
    entries = now.present(plan.order())
    for id in plan.order():
        made = sum(output.size for output in entries[id].outputs.values()) if id in entries else 0
        failed = (now.config.store / "failed" / id.replace("/", "-")).is_dir()
        state = "built" if id in entries else "failed" if failed else "missing"
        rows[id.partition("/")[0]].append((plan.recipes[id].name, plan.recipes[id].version, made, state))
    return {stage: _stock("build", "version", found) for stage, found in rows.items()}


def _stock(what: str, more: str, rows: Sequence[tuple[str, str, int, str]]) -> Table:
    """These rows, and how many there are of each state: ``3 built, 1 failed; 2.0 MiB``."""
    states = [state for *_, state in rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    taken = sum(bytes for _, _, bytes, _ in rows)
    shown = tuple((name, other, size(bytes) if bytes else "", state) for name, other, bytes, state in rows)
    return Table((what, more, "size", "state"), shown, note=f"{counts}; {size(taken)}" if taken else counts)


def _source_state(config: Config, source: Source, verify: bool) -> tuple[int, str]:
    path = source_path(config, source)
    if not path.is_file():
        return 0, "missing"
    try:
        if verify:
            verified_path(config, source)
    except SourceError:
        return path.stat().st_size, "changed"
    return path.stat().st_size, "verified" if verify else "there"


def _about(recipes: Mapping[str, Recipe], recipe: Recipe) -> list[tuple[str, str]]:
    """What a recipe says about itself, and what others say about it."""
    ours = {recipe.id, *recipe.packages}
    users = [other.id for other in recipes.values() if other.id != recipe.id and _asked_for(other) & ours]
    rows = [
        ("version", recipe.version),
        ("what it is", recipe.description),
        ("licence", ", ".join(recipe.licence)),
        ("sources", "\n".join(f"{source.name} sha256 {source.sha256[:12]}…" for source in recipe.sources)),
        ("asks for", ", ".join(sorted(_asked_for(recipe) - ours))),
        ("asked for by", ", ".join(users)),
    ]
    return [row for row in rows if row[1]]


def _asked_for(recipe: Recipe) -> set[str]:
    return {plain_name(name) for names in (recipe.makedepends, *recipe.depends.values()) for name in names}


def _parts(config: Config, recipe: Recipe) -> list[str]:
    functions = re.findall(r"^([\w.@+-]+) *\(\) *\{", recipe.path.read_text(), re.MULTILINE)
    pins = [_PINS] if recipe.packages and recipe.sources else []
    return [_WHOLE, *pins, *functions, *(str(path.relative_to(config.recipes)) for path in recipe.files[1:])]


def _part(recipe: Recipe, part: str) -> str:
    text = show(part) if "/" in part else show(recipe.id, {_WHOLE: None, _PINS: "source"}.get(part, part))
    return f'<div class="mere-code">{text._repr_html_()}</div>'


def _choice(label: str, options: Iterable[str] = (), **value: str) -> Any:
    """A list to choose from, whose label is as wide as its word."""
    style = {"description_width": "initial"}
    return ipywidgets.Dropdown(options=list(options), description=label, style=style, **value)


def _view(action: Callable[[], str], *controls: Any, **layout: str) -> Any:
    """The HTML of an action, which is done again when one of these controls has changed."""
    view = ipywidgets.HTML(layout=layout)

    def draw(change: Any = None) -> None:
        view.value = html_of(action)

    draw()
    for control in controls:
        control.observe(draw, "value")
    return view


def _box(above: Sequence[Any], *below: Any) -> Any:
    return ipywidgets.VBox([ipywidgets.HBox(above), *below])
