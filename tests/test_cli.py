"""The command line is the words of the book, and turns errors into exit statuses."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from threading import Event

import pytest

from mere_helpers import cli
from mere_helpers.building.scheduler import BudgetError
from mere_helpers.config import load_config
from mere_helpers.errors import BuildError, DifferenceError
from mere_helpers.locks import Locks
from mere_helpers.marker import SOURCES, STORE, mark
from mere_helpers.planning.plan import Plan
from mere_helpers.press import words
from mere_helpers.press.default import use
from mere_helpers.session import Session
from mere_helpers.store.store import Entry

from .test_tree import nest

pytestmark = pytest.mark.usefixtures("own_store")


def test_without_a_word_it_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == 2
    assert "WORD" in capsys.readouterr().err


@pytest.mark.parametrize(
    "word", ["check", "fetch", "build", "run", "status", "log", "clean", "bench", "open", "usual", "verify"]
)
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


class Failing(Session):
    """A session whose plan cannot be had."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(load_config())
        self.error = error

    @property
    def plan(self) -> Plan:
        raise self.error

    def with_rounds(self, rounds: int) -> Session:
        return self


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BuildError("it failed"), 1),
        (DifferenceError("it differs"), 1),
        (BudgetError("time is up"), cli.OUT_OF_TIME),
        (KeyboardInterrupt(), 130),
    ],
)
def test_statuses(error: BaseException, status: int) -> None:
    use(Failing(error))
    assert cli.main(["status"]) == status


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
@pytest.mark.parametrize("command", [["digests"], ["rebuild", "FILE"], ["vary"], ["confirm"], ["chain", "cc", "c++"]])
def test_commands_that_compare_have_the_status_of_a_difference_for_nothing_else(
    command: list[str], error: BaseException, status: int
) -> None:
    use(Failing(error))
    assert cli.main(command) == status


class Noting(Session):
    """A session that builds nothing, and notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__(load_config())
        self.asked: list[tuple[str, ...]] = []

    def ensure_sources(self, ids: Iterable[str]) -> None:
        self.asked.append(tuple(ids))

    def ensure_built(self, ids: Iterable[str], *, use: bool = True) -> dict[str, Entry]:
        self.asked.append(tuple(ids))
        raise BudgetError("not today")

    def present(self, ids: Iterable[str]) -> dict[str, Entry]:
        return {"cross/make": Entry("cross/make", "k" * 64, self.config.store, {"outputs": {}})}


@pytest.mark.parametrize(("names", "shown"), [([], ["rebuild"]), (["zlib", "cross"], ["zlib", "cross"])])
def test_build_fetches_what_is_missing_and_builds_what_was_asked_for(
    names: list[str], shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "check_host", lambda: None)
    use(noting := Noting())
    assert cli.main(["build", *names]) == cli.OUT_OF_TIME
    assert noting.asked == [tuple(noting.resolve(shown))] * 2


def test_export_names_a_folder_that_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "export", lambda config, entries, folder: "a key")
    use(Noting())
    assert cli.main(["export", "packed"]) == 0
    assert f"\nMERE_SUBSTITUTES={tmp_path}/packed\nMERE_SUBSTITUTES_KEY=a key" in capsys.readouterr().out


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The store that `clean` sees, with nothing of anybody else's in reach."""
    config = load_config()
    assert config.store.is_relative_to(tmp_path) and config.sources.is_relative_to(tmp_path)
    return config.store


HASH = "ab" * 32


def test_clean_removes_what_is_ours_and_nothing_else(store: Path, capsys: pytest.CaptureFixture) -> None:
    mark(store, STORE)
    mark(store / "sources", SOURCES)
    half = HASH[:16]
    for name in (f"entries/{HASH}", "key", "logs", f"repositories/{half}", f"sources/{HASH}", f"systems/{half}"):
        (store / name).mkdir(parents=True)
    (store / "key/fingerprint").touch()
    (store / "letter.txt").write_text("not ours")
    assert cli.main(["clean"]) == 0
    assert sorted(path.name for path in store.iterdir()) == ["CACHEDIR.TAG", "letter.txt", "sources"]
    said = capsys.readouterr().out
    assert "what was built is removed; the source files stay" in said
    assert f"removed  {store}/entries (1)\n" in said and f"left     {store}/letter.txt   # not ours\n" in said
    assert cli.main(["clean", "--sources"]) == 0
    assert sorted(path.name for path in store.iterdir()) == ["CACHEDIR.TAG", "letter.txt"]
    (store / "letter.txt").unlink()
    assert cli.main(["clean"]) == 0
    assert not store.exists()


def test_clean_leaves_what_somebody_keeps_among_our_directories(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # An earlier edition took any directory for a store; this one has been used as one.
    downloads = store / "Downloads"
    ours = [
        *(f"entries/{HASH}/meta.json", f"locks/{HASH}", "work/steps/cross-make/file", "latest/cross-make"),
        *("logs/cross-make.log", "key/fingerprint", "book.jsonl", f"Downloads/{HASH}/zlib.tar.gz", "Downloads/locks/x"),
    ]
    theirs = ["work/thesis", "key/house", "logs/diary.txt", "Downloads/photo", "letter", "entries/notes", "systems/x/y"]
    for name in ours + theirs:
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).touch()
    (store / "failed").symlink_to(tmp_path)
    mark(downloads.parent, STORE)
    (downloads / "CACHEDIR.TAG").write_text(f"Signature: 8a477f597d28d172789f06886806bc55\n{SOURCES.line}\n")
    monkeypatch.setenv("MERE_SOURCES", str(downloads))
    assert cli.main(["clean", "--sources"]) == 0
    files = {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()}
    assert files == {"CACHEDIR.TAG", "Downloads/CACHEDIR.TAG", *theirs}
    said = capsys.readouterr().out
    for name in ("work/thesis", "key/house", "letter", "failed"):
        assert f"left     {store}/{name}   # not ours" in said


def test_clean_gets_over_what_a_build_has_nested_too_deep(store: Path) -> None:
    mark(store, STORE)
    (store / "failed").mkdir()
    nest(store / "failed/packages-gnulib", 2000)
    assert cli.main(["clean"]) == 0
    assert not store.exists()


@pytest.mark.parametrize(("folder", "words"), [("locks", ["clean"]), ("sources/locks", ["clean", "--sources"])])
def test_clean_takes_nothing_away_from_those_who_are_busy(
    folder: str, words: list[str], store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = (f"entries/{HASH}", "logs", f"sources/{HASH}")
    for name in kept:
        (store / name).mkdir(parents=True)
    with Locks(store / folder, Event()).hold("key"):
        assert cli.main(words) == 1
        assert f"{store / folder}/key is locked\nhint: wait" in capsys.readouterr().err
        assert all((store / name).is_dir() for name in kept)
    assert cli.main(words) == 0
    assert not (store / "entries").exists()
