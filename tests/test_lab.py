"""Stepping through in JupyterLab, in a real browser: widgets that answer, and a build that can be stopped."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.sign import NotebookNotary

from mere_helpers.building.scheduler import found
from mere_helpers.config import Config
from mere_helpers.press.book import normalise

from .browsers import launch
from .rooms import CHECKOUT

pytest_plugins = ("tests.rooms",)
pytestmark = [pytest.mark.site, pytest.mark.slow, pytest.mark.containers]

TOKEN = "mere"
#: Milliseconds. Browsers and kernels may have to share a small machine with a build.
PATIENCE = 90_000
#: Something to look for among the processes of the machine.
LONG = "31415"

_STEP = """\
sources_of=()
makedepends=({needs})
build() {{ {build}; }}
package() {{ mkdir -p "$pkgdir/bin"; {package}; }}
"""
_PACKAGE = """\
pkgname={name}
pkgver=1.0
pkgrel=1
pkgdesc='The {name} of the tests'
arch=(x86_64)
url=https://example.org
license=(MIT)
depends=({depends})
{more}
package() {{
    mkdir "$pkgdir/share"
    echo {name} > "$pkgdir/share/{name}"
}}
"""
#: As every chapter has it at its end.
_EXERCISE = """\
**Exercise.** Where is it?

```{admonition} Answer
:class: dropdown
Behind the title.
```"""
#: What the notebook's kernel builds: a step on the host, and something in a container.
_SMALL = f"""
from mere_helpers.building.builders import BUILDERS
from mere_helpers.building.scheduler import run
from mere_helpers.config import load_config
from mere_helpers.sandbox.sandbox import Sandbox
from mere_helpers.errors import BuildError
from mere_helpers.press.widgets.live import Panels


def builder(build):
    if build.id != "cross/boxed":
        return BUILDERS["cross"](build)

    def produce(folder):
        box = build.dependencies["cross/box"].tree
        with Sandbox(build.config, [box], stop=build.jobserver.stop) as container:
            command = "echo '==> build'; echo one in a box; echo two in a box; sleep {LONG}"
            container.run(["sh", "-c", command], log=build.config.logs / "cross-boxed.log")
        raise BuildError("the sleep has ended")

    return build.store.add(build.id, build.key, build.inputs, produce)


def build_small():
    config = load_config()
    with Panels().builds(config) as watch:
        run(config, ["cross/boxed", "cross/slow"], watch=watch, builders={{"cross": builder}})
"""
CELLS = {
    "picker": "from mere_helpers import board, console, explorer, picker\npicker('greet')",
    "explorer": "explorer('greet')",
    "board": "board()",
    "console": "console('temptools')",
    "build": "from small import build_small\nbuild_small()",
    "after": "6 * 7",
}


#: The host's static busybox, which a step sees, under all its names.
_BOX = """mkdir -p "$pkgdir/bin"; cp "$(command -v busybox)" "$pkgdir/bin"
    for name in $(busybox --list); do [ $name = busybox ] || ln -s busybox "$pkgdir/bin/$name"; done"""


@pytest.fixture(scope="module")
def small(room: Config, busybox: Path) -> Config:
    """A checkout with a few recipes: two steps that end, two that do not, and two packages."""
    recipes = room.recipes
    sleeper = f"for i in $(seq 100); do echo line $i; done; sleep {LONG}"
    steps = {
        "box": ("", ":", _BOX),
        "slow": ("cross/box", sleeper, ":"),
        "boxed": ("cross/box", ":", ":"),
    }
    (recipes / "cross").mkdir()
    for name, (needs, build, package) in steps.items():
        (recipes / f"cross/{name}.sh").write_text(_STEP.format(needs=needs, build=build, package=package))
    pin = hashlib.sha256(b"hello").hexdigest()
    source = f"source=(https://example.org/greet.txt)\nsha256sums=({pin})\n_debian=()"
    for name, depends, more in (("greet", "", source), ("hello", "greet", "")):
        (recipes / "packages" / name).mkdir(parents=True)
        text = _PACKAGE.format(name=name, depends=depends, more=more)
        (recipes / f"packages/{name}/PKGBUILD").write_text(text)
    (room.sources / pin).mkdir(parents=True)
    (room.sources / pin / "greet.txt").write_text("hello")
    (recipes / "bootstrap.toml").write_text('tools = ["cross/box"]\ninstaller = "cross/box"\n')
    (room.checkout / "book").mkdir()
    cost = {"started": 0.0, "ended": 90.0, "cpu_s": 1.0, "peak_bytes": 1}
    (room.checkout / "book/run.json").write_text(json.dumps({"cores": 2, "builds": {"cross/slow": cost}}))
    return room


@pytest.fixture(scope="module")
def notebook(small: Config) -> Path:
    """A notebook with `CELLS`, and beside it what its last cells import."""
    folder = small.checkout / "notebooks"
    folder.mkdir()
    (folder / "small.py").write_text(_SMALL)
    cells = [nbformat.v4.new_code_cell(source, id=name) for name, source in CELLS.items()]
    cells.append(nbformat.v4.new_markdown_cell(_EXERCISE, id="exercise"))
    path = folder / "small.ipynb"
    nbformat.write(normalise(nbformat.v4.new_notebook(cells=cells)), path)
    return path


@pytest.fixture(scope="module")
def lab(small: Config, notebook: Path) -> Iterator[str]:
    """The address of a JupyterLab that has the notebook open."""
    home = small.checkout / "home"
    settings = home / "settings/@jupyterlab"
    for name, values in {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "apputils-extension/themes": {"theme": os.environ.get("MERE_LAB_THEME", "JupyterLab Light")},
        # All cells are there, whether they are in sight or not.
        "notebook-extension/tracker": {"windowingMode": "none"},
    }.items():
        (settings / name).parent.mkdir(parents=True, exist_ok=True)
        (settings / f"{name}.jupyterlab-settings").write_text(json.dumps(values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MERE_", "JUPYTER", "JPY_"))}
    environment = ours | {
        "HOME": str(home),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "PYTHONPATH": str(CHECKOUT),
        "MERE_CHECKOUT": str(small.checkout),
        "MERE_STORE": str(small.store),
        "MERE_JOBS": "2",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={notebook.parent}"]
    with open(home / "log", "wb") as log:
        server = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        _until(lambda: _is_up(f"{address}/api/status?token={TOKEN}") or server.poll() is not None)
        assert server.poll() is None, (home / "log").read_text()
        yield f"{address}/lab/tree/{notebook.name}?token={TOKEN}"
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture(scope="module")
def page(lab: str) -> Iterator[Any]:
    with launch("so nobody has stepped through a notebook") as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.set_default_timeout(PATIENCE)
        page.goto(lab)
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        # The kernel has started, and its front end knows.
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        yield page


def _cell(page: Any, name: str) -> Any:
    return page.locator(".jp-Notebook .jp-CodeCell").nth(list(CELLS).index(name))


def _run(page: Any, name: str) -> Any:
    """Run a cell as a reader does; the result is its output."""
    cell = _cell(page, name)
    cell.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    return cell.locator(".jp-Cell-outputArea")


def _until(true: Callable[[], Any], seconds: float = PATIENCE / 1000) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "that took too long"
        time.sleep(0.2)


def _is_up(address: str) -> bool:
    try:
        return urllib.request.urlopen(address, timeout=5).status == 200
    except OSError:
        return False


def _sleepers() -> list[str]:
    """The processes of this machine that a build of ours has started."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"sleep {LONG}" in line:
            lines.append(line)
    return lines


def _look(page: Any, name: str) -> None:
    """Keep a picture, if somebody wants to look at it."""
    if folder := os.environ.get("MERE_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")


def test_an_answer_is_folded_until_it_is_asked_for(page: Any) -> None:
    exercise = page.locator(".jp-Notebook .jp-MarkdownCell").last.get_by_role("group")
    title, answer = exercise.get_by_text("Answer", exact=True), exercise.get_by_text("Behind the title.")
    title.wait_for()
    assert not answer.is_visible()
    title.click()
    answer.wait_for()


def test_the_picker_shows_what_is_picked(page: Any) -> None:
    shown = _run(page, "picker")
    shown.get_by_text("The greet of the tests", exact=True).wait_for()
    assert "packages/hello" in shown.inner_text() and "pkgname=greet" in shown.inner_text()
    recipe, part = shown.locator("select").all()
    part.select_option("package")
    # The whole recipe, which is shown until the choice arrives, has this line, too.
    shown.locator(".mere-code", has_text="echo greet >", has_not_text="pkgname").wait_for()
    _look(page, "picker")
    recipe.select_option("cross/slow")
    shown.locator(".mere-code", has_text=f"sleep {LONG}").wait_for()


def test_the_explorer_draws_around_what_is_chosen(page: Any) -> None:
    shown = _run(page, "explorer")
    shown.locator("svg text", has_text="hello").wait_for()
    shown.locator("select").select_option("cross/box")
    shown.get_by_text("cross/box needs nothing.").wait_for()
    shown.locator("svg text", has_text="hello").wait_for(state="detached")
    shown.locator("input[type=checkbox]").check()
    shown.locator("svg text", has_text="hello").wait_for()
    _look(page, "explorer")


def test_the_board_counts_and_verifies(page: Any, small: Config) -> None:
    shown = _run(page, "board")
    shown.get_by_text("1 there").wait_for()
    shown.locator("td", has_text="greet.txt").wait_for()
    shown.get_by_role("button", name="Verify sources").click()
    shown.get_by_text("1 verified").wait_for()
    next(small.sources.glob("*/greet.txt")).write_text("hullo")
    shown.get_by_role("button", name="Verify sources").click()
    shown.get_by_text("1 changed").wait_for()
    shown.locator("select").select_option("packages")
    shown.locator("td", has_text="hello").wait_for()
    _look(page, "board")


def test_the_console_runs_commands_in_a_container(page: Any) -> None:
    shown = _run(page, "console")
    field = shown.get_by_placeholder("a command for sh")
    field.fill("echo $((6 * 7)) as $(id -u); touch /here; exit 3")
    field.press("Enter")
    shown.locator("pre", has_text="42 as 0").wait_for()
    shown.locator("pre", has_text="status 3").wait_for()
    # The next is typed without a click, and of what is longer than the window the end is seen.
    page.keyboard.type("seq 100; echo the end")
    page.keyboard.press("Enter")
    said = shown.locator("pre", has_text="100\nthe end")
    said.wait_for()
    window = said.locator("..")
    assert window.bounding_box()["height"] < 400 < said.bounding_box()["height"]
    below = [box["y"] + box["height"] for box in (said.bounding_box(), window.bounding_box())]
    assert abs(below[0] - below[1]) < 20
    field.fill(f"ls /here || sleep {LONG}")
    field.press("Enter")
    _until(lambda: len(_sleepers()) > 0)
    _look(page, "console")
    shown.get_by_role("button", name="Stop").click()
    shown.locator("pre", has_text="stopped").wait_for()
    assert "No such file" in shown.inner_text()
    assert _sleepers() == []


def test_a_build_is_followed_and_cancelled(page: Any, small: Config) -> None:
    shown = _run(page, "build")
    shown.get_by_text("of about 1 min 30 s").wait_for()
    _until(lambda: "build" in shown.locator("td").all_inner_texts() and len(_sleepers()) > 1)
    choice = shown.locator("select")
    choice.select_option("cross/slow")
    shown.locator("pre", has_text="line 100").wait_for()
    shown.get_by_placeholder("show only lines with").fill("LINE 7")
    shown.get_by_text("11 of the last").wait_for()
    assert "line 79" in shown.inner_text() and "line 80" not in shown.inner_text()
    choice.select_option("cross/boxed")
    shown.get_by_text("0 of the last").wait_for()
    shown.get_by_placeholder("show only lines with").fill("box")
    shown.locator("pre", has_text="two in a box").wait_for()
    _look(page, "build")

    pressed = time.monotonic()
    shown.get_by_role("button", name="Cancel").click()
    shown.get_by_text("Stopped: 1 of 3 builds are finished, and kept").wait_for()
    assert time.monotonic() - pressed < 30
    assert "Traceback" not in shown.inner_text() and not shown.get_by_role("button").first.is_visible()
    _look(page, "stopped")

    assert _sleepers() == []
    assert found(small, ["cross/boxed", "cross/slow"]).keys() == {"cross/box"}
    for folder in ("jobs", "entries"):
        assert list((small.work / folder).iterdir()) == []
    # Steps work in containers, too. Their files go in the background.
    _until(lambda: not [path for path in (small.store / "containers").iterdir() if path.name != "lock"])
    for lock in (small.store / "locks").iterdir():
        assert subprocess.run(["flock", "--nonblock", lock, "true"]).returncode == 0, f"{lock.name} is held"

    # The kernel lives, and goes on with the next cell.
    _run(page, "after").get_by_text("42").wait_for()


def test_the_whole_checkout_can_be_opened() -> None:
    settings = json.loads((CHECKOUT / ".venv/etc/jupyter/jupyter_server_config.json").read_text())
    assert Path(settings["ServerApp"]["root_dir"]).samefile(CHECKOUT)


def test_the_pictures_of_the_chapters_are_shown_before_they_are_run() -> None:
    notary = NotebookNotary()
    for path in sorted((CHECKOUT / "notebooks").glob("*.ipynb")):
        assert notary.check_signature(nbformat.read(path, as_version=4)), f"{path.name} is not trusted: make setup"


def test_a_saved_notebook_keeps_no_state(page: Any, notebook: Path) -> None:
    page.keyboard.press("Control+s")
    _until(lambda: "6 * 7" in notebook.read_text() and '"42"' in notebook.read_text())
    saved = nbformat.read(notebook, as_version=4)
    assert "widgets" not in saved.metadata
    assert "widget-state" not in notebook.read_text()
    # A panel is gone with its build.
    (build,) = [cell for cell in saved.cells if cell.id == "build"]
    assert "widget-view" not in str(build.outputs)
    # Nothing of what was chosen is in it, and once it is normalised not even that there were widgets.
    assert "packages/hello" not in notebook.read_text() and "two in a box" not in notebook.read_text()
    assert "widget" not in nbformat.writes(normalise(saved))
