"""The command line is the words of the book, and turns errors into exit statuses."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest

from mere_helpers.building.schedule import BudgetError
from mere_helpers.config import load_config
from mere_helpers.errors import BuildError, DifferenceError
from mere_helpers.reading import cli, proofs, vocabulary
from mere_helpers.reading.wanted import ids_of
from mere_helpers.recipes.plan import Plan
from mere_helpers.report import Table
from mere_helpers.storage.lock import Locks

pytestmark = pytest.mark.usefixtures("own_store")


def test_without_a_word_it_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == 2
    assert "WORD" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["check", "fetch", "build", "run", "status", "log", "clean", "bench", "open", "usual"])
def test_every_word_explains_itself(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([word, "--help"])
    assert ended.value.code == 0
    assert word in capsys.readouterr().out


def test_status_of_an_empty_store(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status"]) == 0
    out = capsys.readouterr().out
    assert "packages/musl" in out
    assert "0 of " in out


def test_bench_of_an_empty_store(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench"]) == 0
    assert "0 of " in capsys.readouterr().out


def test_an_error_is_a_message_a_hint_and_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["log", "muzl"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("RecipeError: no recipe muzl\nhint: did you mean ")
    assert "Traceback" not in err


def test_a_log_that_is_not_there_yet(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["log", "musl"]) == 1
    assert "build packages/musl" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BuildError("it failed"), 1),
        (DifferenceError("it differs"), 1),
        (BudgetError("time is up"), cli.OUT_OF_TIME),
        (KeyboardInterrupt(), 130),
    ],
)
def test_statuses(error: BaseException, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*names: str) -> Table:
        raise error

    monkeypatch.setattr(vocabulary, "fetch", failing)
    assert cli.main(["fetch"]) == status


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DifferenceError("it differs"), 1),
        (BuildError("it failed"), cli.UNTRIED),
        (OSError(28, "No space left on device"), cli.UNTRIED),
        (ValueError("a mistake of ours"), cli.UNTRIED),
        (BudgetError("time is up"), cli.OUT_OF_TIME),
        (KeyboardInterrupt(), 130),
    ],
)
@pytest.mark.parametrize("words", [["digests"], ["rebuild", "FILE"], ["vary"], ["confirm"], ["chain", "cc", "c++"]])
def test_commands_that_compare_have_the_status_of_a_difference_for_nothing_else(
    words: list[str], error: BaseException, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: object, **options: object) -> Table:
        raise error

    monkeypatch.setattr(proofs, "elsewhere" if words == ["vary"] else words[0], failing)
    assert cli.main(words) == status


@pytest.mark.parametrize(("names", "shown"), [([], ("rebuild",)), (["zlib", "cross"], ("zlib", "cross"))])
def test_build_fetches_what_is_missing_and_shows_what_was_asked_for(
    names: list[str], shown: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, ...]] = []
    monkeypatch.setattr(vocabulary, "check_host", lambda: done.append(("check",)))
    monkeypatch.setattr(vocabulary, "fetch_missing", lambda config, graph, ids: done.append(tuple(ids)))
    monkeypatch.setattr(vocabulary, "build", lambda *names: done.append(names))
    assert cli.main(["build", *names]) == 0
    assert done == [("check",), tuple(ids_of(Plan.from_recipes(load_config()), shown)), shown]


def test_export_names_a_folder_that_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "found", lambda config, ids, plan: {"cross/make": None})
    monkeypatch.setattr(cli, "export", lambda config, entries, folder: "a key")
    assert cli.main(["export", "packed"]) == 0
    assert f"\nMERE_SUBSTITUTES={tmp_path}/packed\nMERE_SUBSTITUTES_KEY=a key" in capsys.readouterr().out


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The store that `clean` sees, with nothing of anybody else's in reach."""
    config = load_config()
    assert config.store.is_relative_to(tmp_path) and config.sources.is_relative_to(tmp_path)
    return config.store


def test_clean_removes_what_is_ours_and_nothing_else(store: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("entries/key", "key", "logs", "repositories/ab", "sources/ab", "systems/ab"):
        (store / name).mkdir(parents=True)
    (store / "letter.txt").write_text("not ours")
    assert cli.main(["clean"]) == 0
    assert sorted(path.name for path in store.iterdir()) == ["letter.txt", "sources"]
    assert "what was built is removed; the source files stay" in capsys.readouterr().out
    assert cli.main(["clean", "--sources"]) == 0
    assert [path.name for path in store.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(("folder", "words"), [("locks", ["clean"]), ("sources/locks", ["clean", "--sources"])])
def test_clean_takes_nothing_away_from_those_who_are_busy(
    folder: str, words: list[str], store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("entries/key", "logs", "sources/ab"):
        (store / name).mkdir(parents=True)
    with Locks(store / folder, Event()).hold("key"):
        assert cli.main(words) == 1
        assert f"{store / folder}/key is locked\nhint: wait" in capsys.readouterr().err
        assert all((store / name).is_dir() for name in ("entries/key", "logs", "sources/ab"))
    assert cli.main(words) == 0
    assert not (store / "entries").exists()
