"""The book, run from its first chapter to its last: this is the bootstrap."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..config import Config
from ..errors import BuildError, MereError, RecipeError
from ..files import disk_trouble, write_record
from ..locks import Locks
from ..planning.plan import ROUNDS
from ..session import Session
from ..store.store import ALIVE
from .default import USES

#: What every committed notebook says about its kernel, whichever machine ran it.
_KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

#: Cell tags that mean something; all others are dropped.
_TAGS = {"nbval-ignore-output", "nbval-skip", "hide-input", "hide-output", "remove-input"}


def chapters(config: Config) -> list[Path]:
    """The notebooks in the order of ``_toc.yml``, which is the order in which they run.

    Raises
    ------
    MereError
        The table of contents names a notebook that is not there.
    """
    import yaml

    toc = yaml.safe_load((config.checkout / "_toc.yml").read_text())
    names = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    found = [config.checkout / f"{name}.ipynb" for name in names if name.startswith("notebooks/")]
    for path in found:
        if not path.is_file():
            raise MereError(f"_toc.yml names {path.relative_to(config.checkout)}, which does not exist")
    return found


def run_book(now: Session, *, only: Sequence[str] = (), save: bool = True, say: Callable[[str], None] = print) -> None:
    """Execute the chapters one after another, and write their outputs back when all of them passed.

    Parameters
    ----------
    now : Session
    only : sequence of str, optional
        Chapters by the beginning of their names, such as ``06``; all when empty.
    save : bool, optional
        Write the executed notebooks in place of the old ones.
    say : callable, optional
        Gets a line when a chapter starts, and one for each event of a build.

    Raises
    ------
    BuildError
        A cell failed. The message shows the cell and the end of its error; nothing was written back, and the notebook
        as far as it came is the error's log. What was built is kept: run again to go on.
    MereError
        `only` names no chapter.
    """
    import nbformat

    config = now.config
    wanted = [path for path in chapters(config) if not only or path.name.startswith(tuple(only))]
    if not wanted:
        raise MereError(f"no chapter begins with {', '.join(only)}", hint="see the names in notebooks/")
    config.work.mkdir(parents=True, exist_ok=True)

    done: dict[Path, str] = {}
    # A folder for each run: two of them may share a store.
    with (
        disk_trouble(),
        TemporaryDirectory(prefix="book-", dir=config.work) as room,
        Locks(Path(room), threading.Event()).hold(ALIVE),
    ):
        for path in wanted:
            say(f"chapter {path.stem}")
            with _progress(Path(room, "progress"), say) as (channel, uses):
                notebook = _execute(config, path, Path(room, path.name), channel)
            done[path] = nbformat.writes(normalise(notebook, named(now, uses)))
    if save:
        for path, text in done.items():
            write_record(path, f"{text}\n")


def normalise(notebook: Any, uses: Mapping[str, Sequence[str]] | None = None) -> Any:
    """Take out of an executed notebook all that says when, where and how often it ran, and write down what it uses.

    The order of keys is nbformat's own, sorted; what is left changes only when the chapter or its results do.

    Parameters
    ----------
    notebook : NotebookNode
        Changed in place, and returned.
    uses : mapping of str to sequence of str, optional
        What it ``builds`` and ``shows``; without, what it said before stays.
    """
    before = notebook.metadata.get("mere", {})
    count = 0
    for cell in notebook.cells:
        tags = sorted(set(cell.metadata.get("tags", ())) & _TAGS)
        cell.metadata = type(notebook.metadata)({"tags": tags} if tags else {})
        if cell.cell_type != "code":
            continue
        # What the pages say of a picture, to those who cannot see it, is what the picture says of itself.
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                cell.metadata["mystnb"] = {"image": {"alt": output["data"]["text/plain"]}}
        count += 1
        cell.execution_count = count
        # A progress panel lives only as long as its kernel.
        cell.outputs = [
            output
            for output in cell.outputs
            if "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
        ]
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
            if "metadata" in output:
                output.metadata = type(notebook.metadata)()
    notebook.metadata = type(notebook.metadata)(_KERNEL | {"mere": dict(before if uses is None else uses)})
    return notebook


def uses(now: Session, notebook: Path, kind: str = "builds") -> list[str]:
    """What a chapter ``builds`` or ``shows``, by id: as its last run has written it down in the notebook."""
    with open(notebook, encoding="utf-8") as file:
        names = json.load(file)["metadata"].get("mere", {}).get(kind, [])
    ids: list[str] = []
    for name in names:
        # A recipe may have gone since that run.
        with suppress(RecipeError):
            ids += now.resolve([name])
    return list(dict.fromkeys(ids))


def chapter_path(config: Config, chapter: str) -> Path:
    """The notebook of a chapter, which is named by the beginning of its name, such as ``08``.

    Raises
    ------
    MereError
        There is no such chapter.
    """
    for path in chapters(config):
        if path.name.startswith(chapter):
            return path
    raise MereError(f"no chapter begins with {chapter}", hint="see the names in notebooks/")


def taken(now: Session, notebook: Path) -> list[str]:
    """What a chapter takes from those before it: builds, by id."""
    paths = chapters(now.config)
    earlier = {id for path in paths[: paths.index(notebook)] for id in now.plan.closure(uses(now, path))}
    return [id for id in now.plan.closure(uses(now, notebook)) if id in earlier]


def missing(now: Session, notebook: Path) -> list[str]:
    """The builds that a chapter uses and that the store does not hold; nothing is built to find out."""
    wanted = uses(now, notebook)
    present = now.present(wanted)
    return [id for id in now.plan.closure(wanted) if id not in present]


def growth(now: Session) -> list[tuple[str, int, int]]:
    """For each chapter that adds packages: its name, how many there are at its end, and the bytes that they take."""
    installed = now.sizes().installed
    present: set[str] = set()
    steps = []
    for path in chapters(now.config):
        before = len(present)
        present |= {id for id in now.plan.closure(uses(now, path)) if id.startswith(f"{ROUNDS[0]}/")}
        if len(present) > before:
            recipes = [now.plan.recipes[id] for id in present]
            count = sum(len(recipe.packages) for recipe in recipes)
            steps.append(
                (path.stem.partition("-")[2].replace("-", " "), count, sum(installed[r.name] for r in recipes))
            )
    return steps


def named(now: Session, uses: Mapping[str, set[str]]) -> dict[str, list[str]]:
    """The ids of what a chapter uses; where it is all of a stage, the stage, which recipes that come are a part of."""
    named = {}
    for kind, ids in sorted(uses.items()):
        names = set(ids)
        for stage in now.plan.stages:
            if (whole := set(now.resolve([stage]))) <= names:
                names = names - whole | {stage}
        named[kind] = sorted(names)
    return named


def _execute(config: Config, path: Path, output: Path, channel: Path) -> Any:
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    # A kernel that outlives us would go on building, and be in the way of the next run.
    kernel = output.parent / "jupyter/kernels/mere/kernel.json"
    kernel.parent.mkdir(parents=True, exist_ok=True)
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": command, "display_name": "Python 3", "language": "python"}))
    settings = {
        "JUPYTER_PATH": str(output.parent / "jupyter"),
        # The kernel starts in the chapter's folder and has to find the library from there.
        "PYTHONPATH": os.pathsep.join(filter(None, (str(config.checkout), os.environ.get("PYTHONPATH", "")))),
        "MERE_PROGRESS": str(channel),
        "MERE_HEADLESS": "1",
        # Tables are compared character by character: no colours, no frontend's debugger.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "NO_COLOR": "1",
    }
    with _environment(settings):
        try:
            return execute_notebook(
                str(path), str(output), cwd=str(path.parent), kernel_name="mere", progress_bar=False
            )
        except PapermillExecutionError as error:
            log = config.logs / f"book-{path.stem}.ipynb"
            log.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(output, log)
            raise BuildError(
                _failure(path.stem, error), hint="mend it and run again; what was built is kept", log=log
            ) from None
        except RuntimeError as error:
            # On a very busy machine a kernel may not answer in the minute that it gets to start.
            raise MereError(f"chapter {path.stem}: {error}", hint="run again; what was built is kept") from None


def _failure(chapter: str, error: Any) -> str:
    cell = "\n".join(f"    {line}" for line in error.source.strip().splitlines()[:12])
    lines = _plain(f"{error.ename}: {error.evalue}").strip().splitlines()
    # The end of a log is where the reason stands, the first line is what the error is called.
    told = lines if len(lines) <= 26 else [lines[0], "...", *lines[-25:]]
    return "\n".join([f"chapter {chapter} stopped at cell {error.exec_count}:", cell, *told])


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Set variables for the kernels that start inside the block."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _progress(channel: Path, say: Callable[[str], None]) -> Iterator[tuple[Path, dict[str, set[str]]]]:
    """A named pipe whose lines are said as they come, and what they have told that the chapter uses.

    A cell's own output is part of the book and compared, so the progress of a build has to take another way.
    """
    os.mkfifo(channel)
    used: dict[str, set[str]] = {}
    # Opened for both directions: else the reader would see the end of the file whenever a kernel leaves.
    descriptor = os.open(channel, os.O_RDWR)

    def read() -> None:
        with os.fdopen(descriptor, encoding="utf-8", errors="replace", closefd=False) as lines:
            for line in lines:
                if line == "\0\n":
                    return
                if line.startswith(USES):
                    for kind, ids in json.loads(line.removeprefix(USES)).items():
                        used.setdefault(kind, set()).update(ids)
                else:
                    say(line.rstrip("\n"))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield channel, used
    finally:
        os.write(descriptor, b"\0\n")
        reader.join()
        os.close(descriptor)
        channel.unlink()
