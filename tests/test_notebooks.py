"""The committed chapters: their form, and that what they show could come from any machine."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from statistics import median

import nbformat
import pytest
from nbval.plugin import find_comment_markers

from mere_helpers.config import load_config
from mere_helpers.press import book

CHAPTERS = book.chapters(load_config())
TAGS = {"nbval-ignore-output": 2, "nbval-skip": 0, "raises-exception": 0}
#: Pictures that tell of something else than costs.
OTHER_PICTURES = {"graph", "containers", "sizes", "growth"}
FOLDED = re.compile(r"^```\{admonition\} Answer\n:class: dropdown\n.+?^```$", re.DOTALL | re.MULTILINE)
DURATION = re.compile(r"\b\d+(\.\d+)? ?(s|sec|seconds|min|minutes|ms)\b")


def _read(path: Path):
    return nbformat.read(path, as_version=4)


def _code(path: Path) -> list:
    return [cell for cell in _read(path).cells if cell.cell_type == "code"]


def _prose(path: Path) -> str:
    return "\n\n".join(cell.source for cell in _read(path).cells if cell.cell_type == "markdown")


def _calls(path: Path, *words: str) -> list[ast.Call]:
    nodes = [node for cell in _code(path) for node in ast.walk(ast.parse(cell.source))]
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return [call for call in calls if call.func.id in words]


def _outputs(path: Path) -> list[str]:
    """The compared texts of a chapter."""
    texts = []
    for cell in _code(path):
        for output in cell.outputs:
            data = output.get("data", {})
            texts += [output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")]
    return texts


def test_every_notebook_is_in_the_table_of_contents() -> None:
    assert sorted(CHAPTERS) == sorted((load_config().checkout / "notebooks").glob("*.ipynb"))
    assert sorted(CHAPTERS) == CHAPTERS


def test_tags_that_weaken_a_check_are_rare() -> None:
    tags = [tag for path in CHAPTERS for cell in _read(path).cells for tag in cell.metadata.get("tags", ())]
    for tag, most in TAGS.items():
        assert tags.count(tag) <= most


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
class TestChapter:
    def test_is_normalised(self, path: Path) -> None:
        text = path.read_text()
        notebook = _read(path)
        # A cell without its count has not been run, and nbval would compare nothing.
        counts = [cell.execution_count for cell in _code(path)]
        assert counts == list(range(1, len(counts) + 1))
        assert nbformat.writes(book.normalise(notebook)) + "\n" == text
        assert "papermill" not in notebook.metadata

    def test_no_comment_weakens_a_check(self, path: Path) -> None:
        assert [mark for cell in _code(path) for mark in find_comment_markers(cell.source)] == []

    def test_imports_stand_in_the_first_cell_only(self, path: Path) -> None:
        first, *others = _code(path)
        assert re.match(r"from mere_helpers import ", first.source)
        for cell in others:
            nodes = list(ast.walk(ast.parse(cell.source)))
            assert not any(isinstance(node, ast.Import | ast.ImportFrom) for node in nodes)

    def test_uses_all_that_it_imports(self, path: Path) -> None:
        nodes = [node for cell in _code(path) for node in ast.walk(ast.parse(cell.source))]
        imported = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
        said = {node.id for node in nodes if isinstance(node, ast.Name)}
        assert imported == imported & said

    def test_long_lists_are_folded(self, path: Path) -> None:
        for cell in _code(path):
            lines = sum(output.get("data", {}).get("text/plain", "").count("\n") for output in cell.outputs)
            # Two tables are what their chapters are about.
            if lines > 35 and cell.source not in ("verdict()", "proofs()"):
                assert "hide-output" in cell.metadata.get("tags", ()), cell.id

    def test_cells_are_short(self, path: Path) -> None:
        lengths = [len(cell.source.splitlines()) for cell in _code(path)]
        assert max(lengths) <= 15
        assert median(lengths) <= 2

    def test_there_is_enough_prose_and_not_too_much(self, path: Path) -> None:
        assert 60 <= len(FOLDED.sub("", _prose(path)).split()) / len(_code(path)) <= 120

    def test_has_a_title_and_a_summary(self, path: Path) -> None:
        prose = _prose(path)
        assert prose.startswith("# ")
        assert "\n## Summary\n" in prose

    def test_has_two_or_three_exercises_with_folded_answers(self, path: Path) -> None:
        _, *exercises = _prose(path).split("\n**Exercise.** ")
        assert 2 <= len(exercises) <= 3
        for exercise in exercises:
            assert len(FOLDED.findall(exercise)) == 1

    def test_ends_with_a_sentence_that_leads_on(self, path: Path) -> None:
        assert not _prose(path).rstrip().endswith("```")

    def test_shows_what_its_builds_cost(self, path: Path) -> None:
        if not _calls(path, "build"):
            return
        pictures = [{ast.literal_eval(name) for name in call.args} for call in _calls(path, "figure")]
        assert _calls(path, "cost") or any(names - OTHER_PICTURES for names in pictures)

    def test_no_cell_ends_in_a_semicolon_or_failed(self, path: Path) -> None:
        for cell in _code(path):
            assert not cell.source.rstrip().endswith(";")
            assert not any(output.output_type == "error" for output in cell.outputs)

    def test_shows_nothing_of_the_machine_that_ran_it(self, path: Path) -> None:
        config = load_config()
        for text in _outputs(path):
            for place in (str(config.checkout), str(config.store), str(Path.home())):
                # Highlighting may stand in the middle of a path, and `$srcdir/root/usr` is none of root's.
                assert not re.search(rf"(?<![\w.-]){re.escape(place)}/", re.sub(r"<[^>]*>", "", text))
            assert not re.search(r"/(home|tmp)/\w", text)

    def test_shows_no_duration_in_a_table(self, path: Path) -> None:
        for text in _outputs(path):
            if "<table>" in text:
                assert not DURATION.search(re.sub(r"<[^>]*>", " ", text))

    def test_outputs_fit_on_a_screen(self, path: Path) -> None:
        for cell in _code(path):
            for output in cell.outputs:
                assert len(output.get("data", {}).get("text/plain", "").splitlines()) <= 80
