"""The book runs through papermill in order, is normalised, and says where it stopped."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mere_helpers.config import Config, load_config
from mere_helpers.errors import BuildError, MereError
from mere_helpers.press import book
from mere_helpers.session import Session

TOC = (
    "format: jb-book\nroot: book/index\nparts:\n  - chapters:\n      - file: notebooks/01-one\n      - file: book/end\n"
)


@pytest.fixture
def small(tmp_path: Path) -> Config:
    """A book of one chapter."""
    checkout = tmp_path / "checkout"
    (checkout / "notebooks").mkdir(parents=True)
    (checkout / "_toc.yml").write_text(TOC)
    return Config(checkout=checkout, store=tmp_path / "store", sources=tmp_path / "store/sources")


def _chapter(config: Config, *sources: str) -> Path:
    path = config.checkout / "notebooks/01-one.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# One"), *map(new_code_cell, sources)]), path)
    return path


def test_chapters_come_in_the_order_of_the_table_of_contents() -> None:
    names = [path.stem for path in book.chapters(load_config())]
    assert names[0] == "01-host"
    assert names == sorted(names)


def test_a_chapter_that_is_not_there_is_named(small: Config) -> None:
    with pytest.raises(MereError, match=r"notebooks/01-one\.ipynb"):
        book.chapters(small)


def test_runs_in_the_folder_of_the_notebooks_and_writes_back(small: Config) -> None:
    path = _chapter(small, "import os; os.path.basename(os.getcwd())", "1 + 1")
    said: list[str] = []
    book.run_book(Session(small), say=said.append)
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [1, 2]
    assert [cell.outputs[0].data["text/plain"] for cell in cells] == ["'notebooks'", "2"]
    assert said == ["chapter 01-one"]
    before = path.read_bytes()
    book.run_book(Session(small), say=said.append)
    assert path.read_bytes() == before


def test_lines_of_progress_come_by_the_pipe(small: Config) -> None:
    _chapter(small, "import os\nprint('half way', file=open(os.environ['MERE_PROGRESS'], 'w'))")
    said: list[str] = []
    book.run_book(Session(small), say=said.append, save=False)
    assert said == ["chapter 01-one", "half way"]


def test_a_kernel_dies_with_its_runner(small: Config) -> None:
    """It asks the kernel of Linux for the signal that it gets when its parent ends."""
    path = _chapter(small, "import ctypes\nn = ctypes.c_int()\nctypes.CDLL(None).prctl(2, ctypes.byref(n))\nn.value")
    book.run_book(Session(small), say=lambda line: None)
    (output,) = nbformat.read(path, as_version=4).cells[1].outputs
    assert output.data["text/plain"] == "9"


def test_a_run_leaves_another_on_the_same_store_alone(small: Config) -> None:
    _chapter(small, "import os\nprint('half way', file=open(os.environ['MERE_PROGRESS'], 'w'))")
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 1:
            book.run_book(Session(small), say=said.append, save=False)

    book.run_book(Session(small), say=say, save=False)
    assert said == ["chapter 01-one", "chapter 01-one", "half way", "half way"]
    assert list(small.work.iterdir()) == []


def test_a_failing_cell_is_shown_and_nothing_is_written_back(small: Config) -> None:
    path = _chapter(small, "1 + 1", "raise ValueError('line one\\nline two')")
    before = path.read_bytes()
    with pytest.raises(BuildError) as caught:
        book.run_book(Session(small), say=lambda line: None)
    assert "chapter 01-one stopped at cell 2" in caught.value.message
    assert "    raise ValueError" in caught.value.message
    assert caught.value.message.endswith("line two")
    assert Path(str(caught.value.log)).is_file()
    assert path.read_bytes() == before
    assert list(small.work.iterdir()) == []


def test_an_error_of_ours_is_told_in_words_and_is_still_a_failure(small: Config) -> None:
    _chapter(small, "from mere_helpers.errors import SourceError", 'raise SourceError("no copy", hint="go on")')
    with pytest.raises(BuildError) as caught:
        book.run_book(Session(small), say=lambda line: None)
    assert caught.value.message.endswith("SourceError: no copy\nhint: go on")
    (error,) = nbformat.read(Path(str(caught.value.log)), as_version=4).cells[-1].outputs
    assert (error.output_type, error.ename) == ("error", "SourceError")
    assert error.traceback == ["SourceError: no copy", "hint: go on"]


def test_no_chapter_of_that_name(small: Config) -> None:
    _chapter(small, "1")
    with pytest.raises(MereError, match="no chapter begins with 99"):
        book.run_book(Session(small), only=["99"])


def test_normalised_notebooks_say_nothing_about_the_run() -> None:
    cell = new_code_cell("1", metadata={"tags": ["x", "nbval-skip"], "papermill": {"duration": 3}}, execution_count=7)
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "text/plain": "Panel"}
    cell.outputs = [
        new_output("display_data", data=view),
        new_output("execute_result", data={"text/plain": "1"}, execution_count=7, metadata={"when": "now"}),
    ]
    notebook = book.normalise(new_notebook(cells=[cell], metadata={"papermill": {}, "widgets": {}}))
    assert set(notebook.metadata) == {"kernelspec", "language_info", "mere"}
    assert notebook.cells[0].metadata == {"tags": ["nbval-skip"]}
    assert notebook.cells[0].execution_count == 1
    assert notebook.cells[0].outputs == [
        {"output_type": "execute_result", "data": {"text/plain": "1"}, "execution_count": 1, "metadata": {}}
    ]


def test_a_picture_in_the_pages_has_the_text_that_it_has_in_the_notebook() -> None:
    picture = new_output("display_data", data={"image/png": "", "text/plain": "figure: two bars"})
    cell = new_code_cell("figure()", metadata={"mystnb": {"image": {"alt": "old"}}}, outputs=[picture])
    (normalised,) = book.normalise(new_notebook(cells=[cell])).cells
    assert normalised.metadata == {"mystnb": {"image": {"alt": "figure: two bars"}}}
    cell.outputs = []
    assert book.normalise(new_notebook(cells=[cell])).cells[0].metadata == {}


def test_what_a_chapter_uses_is_written_down_by_its_run(small: Config) -> None:
    words = "from mere_helpers.press.default import note"
    path = _chapter(small, words, 'note("builds", ["cross/make"]); note("shows", ["packages/zlib"])', "1")
    (small.recipes).mkdir()
    for source in ("bootstrap.toml", "cross", "packages", "temptools"):
        (small.recipes / source).symlink_to(load_config().recipes / source)
    book.run_book(Session(small), say=lambda line: None)
    assert nbformat.read(path, as_version=4).metadata["mere"] == {"builds": ["cross/make"], "shows": ["packages/zlib"]}
    assert book.uses(Session(small), path) == ["cross/make"]
    assert book.uses(Session(small), path, "shows") == ["packages/zlib"]


def test_what_is_used_of_a_whole_stage_is_named_by_the_stage() -> None:
    session = Session(load_config())
    used = {"builds": {*session.resolve(["cross"]), "packages/zlib"}}
    assert book.named(session, used) == {"builds": ["cross", "packages/zlib"]}


def test_a_recipe_that_is_gone_stops_no_chapter(tmp_path: Path) -> None:
    path = tmp_path / "07-seven.ipynb"
    metadata = {"mere": {"builds": ["packages/muzl", "packages/zlib"]}}
    nbformat.write(new_notebook(metadata=metadata), path)
    assert book.uses(Session(load_config()), path) == ["packages/zlib"]


@pytest.mark.parametrize("path", book.chapters(load_config()), ids=lambda path: path.stem)
def test_the_chapters_use_only_what_there_is(path: Path) -> None:
    uses = nbformat.read(path, as_version=4).metadata["mere"]
    assert uses.keys() <= {"builds", "shows"}
    for names in uses.values():
        assert Session(load_config()).resolve(names)


def test_python_is_the_one_that_runs_this(small: Config) -> None:
    path = _chapter(small, "import sys; sys.executable")
    book.run_book(Session(small), say=lambda line: None)
    assert sys.executable in path.read_text()
