"""The commands that prove something over many packages; what they do in real containers is in test_untried.py."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from mere_helpers.building.builders import BUILDERS, Build
from mere_helpers.building.package_file import package_name
from mere_helpers.building.scheduler import BudgetError
from mere_helpers.config import Config
from mere_helpers.errors import (
    BuildError,
    ContainerError,
    DifferenceError,
    MereError,
    RecipeError,
    SourceError,
    StoreError,
)
from mere_helpers.planning.recipe import Recipe
from mere_helpers.press import evidence, proofs
from mere_helpers.press.table import Text
from mere_helpers.session import Session
from mere_helpers.store.store import Entry, Store
from mere_helpers.verify.comparisons import Comparison
from mere_helpers.verify.digests import Digests, digests_of, recorded_digests, update
from mere_helpers.verify.records import record_proof, recorded_proofs

from .rooms import write_package

#: All that can stand in the way of a comparison.
TROUBLE = (
    StoreError("cannot use the store: No space left on device"),
    ContainerError("no container can be made"),
    BuildError("rebuild/zlib failed: makepkg ended with status 4"),
    SourceError("zlib.tar.gz could not be had"),
    BudgetError("the time is up"),
    RecipeError("the recipe cannot be read"),
    OSError(errno.ENOSPC, "No space left on device"),
)

trouble = pytest.mark.parametrize("error", TROUBLE, ids=lambda error: type(error).__name__)


def _file(name: str) -> str:
    return f"{name}-1-1-x86_64.pkg.tar.zst"


def _by_hand(config: Config) -> Path:
    """The record, in a form that the commands would not write themselves: a single rewritten byte is seen."""
    record = config.recipes / "proofs.toml"
    record.write_text(f"# By hand.\n{record.read_text()}")
    return record


class Ready(Session):
    """Every source is there, and every recipe is built, into one package whose checksum is made of its name."""

    error: Exception | None = None

    def ensure_built(self, ids: Iterable[str]) -> dict[str, Entry]:
        metas = {
            id: {"outputs": {_file(name): {"sha256": name.ljust(64, "0"), "size": 1, "mode": 0o644}}}
            for id in ids
            for name in [id.partition("/")[2]]
        }
        return {id: Entry(id, id, self.config.store, meta) for id, meta in metas.items()}

    def ensure_fetched(self, recipes: Sequence[Recipe]) -> list:
        if self.error:
            raise self.error
        return []


@pytest.fixture
def ready(config: Config) -> Ready:
    return Ready(config)


class TestElsewhere:
    @pytest.fixture(autouse=True)
    def _digests(self, config: Config) -> None:
        update(config, Digests({}, {_file(name): name.ljust(64, "0") for name in ("zlib", "musl", "hello")}))

    @staticmethod
    def _vary(zlib: BaseException | Comparison) -> Callable[..., Comparison]:
        """Everything is equal elsewhere, but zlib is as given."""

        def vary(config: Config, plan: object, id: str, entries: dict[str, Entry], jobserver: object) -> Comparison:
            if id != "rebuild/zlib":
                return Comparison({name: output.sha256 for name, output in entries[id].outputs.items()})
            if isinstance(zlib, BaseException):
                raise zlib
            return zlib

        return vary

    def test_what_is_equal_is_recorded_and_what_is_not_is_dropped(self, config: Config, ready: Ready) -> None:
        vary = self._vary(Comparison({}, (_file("zlib"),), ("lib/libz.so differs",)))
        record_proof(config, "elsewhere", {_file("zlib"): "a" * 64, _file("make"): "b" * 64})
        with pytest.raises(DifferenceError, match="1 of 3 recipes are not equal elsewhere") as caught:
            proofs.elsewhere(ready, ["zlib", "musl", "hello", "zlib"], vary=vary)
        assert f"rebuild/zlib is not equal elsewhere: {_file('zlib')}\nlib/libz.so differs" in str(caught.value)
        assert recorded_proofs(config) == {
            "elsewhere": {
                _file("hello"): "hello".ljust(64, "0"),
                _file("make"): "b" * 64,
                _file("musl"): "musl".ljust(64, "0"),
            }
        }

    @pytest.mark.parametrize("equal", [True, False])
    def test_what_a_reader_has_made_of_a_package_is_neither_recorded_nor_dropped(
        self, config: Config, ready: Ready, capsys: pytest.CaptureFixture[str], equal: bool
    ) -> None:
        same, another = Comparison({_file("zlib"): "zlib".ljust(64, "0")}), Comparison({}, (_file("zlib"),))
        vary = self._vary(same if equal else another)
        update(config, Digests({}, {_file("zlib"): "a" * 64}))
        record_proof(config, "elsewhere", {_file("zlib"): "a" * 64})
        with nullcontext() if equal else pytest.raises(DifferenceError, match="1 of 1 recipes are not equal"):
            proofs.elsewhere(ready, ["zlib"], vary=vary)
        assert recorded_proofs(config) == {"elsewhere": {_file("zlib"): "a" * 64}}
        assert "rebuild/zlib, which is not as in recipes/digests.toml: nothing is recorded" in capsys.readouterr().err

    @trouble
    def test_what_could_not_be_tried_is_left_as_it_was_and_the_others_are_tried(
        self, error: Exception, config: Config, ready: Ready, capsys: pytest.CaptureFixture[str]
    ) -> None:
        record_proof(config, "elsewhere", recorded_digests(config).packages)
        record = _by_hand(config)
        before = record.read_bytes()
        with pytest.raises(MereError, match="1 of 3 could not be tried") as caught:
            proofs.elsewhere(ready, ["musl", "zlib", "hello"], vary=self._vary(error))
        assert not isinstance(caught.value, BuildError) and record.read_bytes() == before
        assert isinstance(caught.value, BudgetError) == isinstance(error, BudgetError)
        assert "rebuild/zlib could not be tried: " in str(caught.value) and str(error) in str(caught.value)
        said = capsys.readouterr().err
        assert "rebuild/zlib could not be tried: " in said
        assert "equal  rebuild/musl\n" in said and "equal  rebuild/hello\n" in said

    @trouble
    def test_what_cannot_even_begin_leaves_all_as_it_was(self, error: Exception, config: Config, ready: Ready) -> None:
        ready.error = error
        record_proof(config, "elsewhere", recorded_digests(config).packages)
        record = _by_hand(config)
        before = record.read_bytes()
        with pytest.raises(MereError, match="the build elsewhere could not be tried: ") as caught:
            proofs.elsewhere(ready, [])
        assert not isinstance(caught.value, BuildError) and record.read_bytes() == before

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a mistake of ours")], ids=repr)
    def test_ctrl_c_and_mistakes_of_ours_end_it_and_prove_nothing(
        self, error: BaseException, config: Config, ready: Ready
    ) -> None:
        record_proof(config, "elsewhere", recorded_digests(config).packages)
        record = _by_hand(config)
        before = record.read_bytes()
        with pytest.raises(type(error)):
            proofs.elsewhere(ready, ["zlib"], vary=self._vary(error))
        assert record.read_bytes() == before


class TestRebuild:
    def test_a_package_that_makes_itself_again_is_not_taken_for_the_recorded_one(
        self, config: Config, ready: Ready
    ) -> None:
        same = {_file("gcc"): "a" * 64, _file("gcc-libs"): "b" * 64}

        def reproduce(*arguments: object, **options: object) -> Comparison:
            return Comparison(same)

        update(config, Digests({}, same))
        assert proofs.rebuild(ready, Path(_file("gcc")), reproduce=reproduce).note == ""
        update(config, Digests({}, same | {_file("gcc"): "c" * 64}))
        note = proofs.rebuild(ready, Path(_file("gcc")), reproduce=reproduce).note
        assert note == f"Not as in recipes/digests.toml: {_file('gcc')}."

    def test_a_difference_is_an_error_of_its_own(self, ready: Ready) -> None:
        found = Comparison({}, (_file("gcc"),), ("bin/gcc differs",), hint="perhaps")
        with pytest.raises(DifferenceError, match=f"cannot be reproduced: {_file('gcc')}\nbin/gcc differs"):
            proofs.rebuild(ready, Path(_file("gcc")), reproduce=lambda *arguments, **options: found)

    @trouble
    def test_what_could_not_be_tried_is_no_difference(self, error: Exception, ready: Ready) -> None:
        def reproduce(*arguments: object, **options: object) -> Comparison:
            raise error

        with pytest.raises(MereError, match=f"{_file('gcc')} could not be tried: ") as caught:
            proofs.rebuild(ready, Path(_file("gcc")), reproduce=reproduce)
        assert not isinstance(caught.value, BuildError)


class Workshop:
    """Builders that write packages, and do for some ids what they are told to."""

    def __init__(self) -> None:
        self.actions: dict[str, Callable[[Build], str | None]] = {}
        self.asked: list[str] = []
        #: Whether other compilers of the host show in what they make.
        self.compilers_differ = True

    def build(self, build: Build) -> Entry:
        self.asked.append(build.id)
        text = self.actions.get(build.id, lambda build: None)(build) or "the same"

        def produce(folder: Path) -> dict:
            packages = build.plan.recipes[build.id].packages
            for package in packages:
                write_package(folder / "out", package, {"text": text})
            if not packages:
                (folder / "out/compilers").write_text(str(self.compilers_differ and build.config.compilers))
            return {"cpu_s": 0.0, "wall_s": 0.0, "started": time.time()}

        return build.store.add(build.id, build.key, build.inputs, produce)

    def fail(self, id: str, error: BaseException, *, compilers: bool = False) -> None:
        """From now on this build fails; with `compilers`, only that with others than the usual ones."""

        def action(build: Build) -> None:
            if not compilers or build.config.compilers:
                raise error

        self.actions[id] = action


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop()
    for stage in BUILDERS:
        monkeypatch.setitem(BUILDERS, stage, made.build)
    return made


class TestConfirm:
    @pytest.fixture
    def record(self, config: Config, workshop: Workshop) -> Path:
        """Two rounds are built, and of the third is recorded what it would show."""
        now = Session(config)
        ids = now.resolve(["rebuild"])
        entries = now.ensure_built(ids)
        record_proof(config, "round 3", digests_of((), (entries[id] for id in ids)).packages)
        del workshop.asked[:]
        return _by_hand(config)

    def test_a_round_that_is_equal_is_recorded(self, config: Config, record: Path) -> None:
        whole = recorded_proofs(config)
        record.unlink()
        assert proofs.confirm(Session(config)).note == "7 of 7 are equal in every byte"
        assert recorded_proofs(config) == whole

    def test_a_payload_that_differs_is_refuted_and_nothing_else(
        self, config: Config, record: Path, workshop: Workshop
    ) -> None:
        whole = recorded_proofs(config)["round 3"]
        workshop.fail("confirm/gcc", DifferenceError("confirm/gcc failed: it is not what rebuild/gcc is"))
        with pytest.raises(DifferenceError, match="it is not what rebuild/gcc is") as caught:
            proofs.confirm(Session(config))
        assert "1 of 7 recipes are not equal in a third round" in str(caught.value)
        kept = recorded_proofs(config)["round 3"]
        assert {package_name(file) for file in whole.keys() - kept.keys()} == {"gcc", "gcc-libs"}
        assert len([id for id in workshop.asked if id.startswith("confirm/")]) == 7

    def test_bytes_that_differ_are_refuted_too(self, config: Config, record: Path, workshop: Workshop) -> None:
        whole = recorded_proofs(config)["round 3"]
        workshop.actions["confirm/zlib"] = lambda build: "another"
        with pytest.raises(DifferenceError, match=f"{_file('zlib')}: text differs"):
            proofs.confirm(Session(config))
        assert whole.keys() - recorded_proofs(config)["round 3"].keys() == {_file("zlib")}

    @trouble
    def test_what_could_not_be_tried_is_left_as_it_was_and_the_others_are_tried(
        self, error: Exception, config: Config, record: Path, workshop: Workshop
    ) -> None:
        before = record.read_bytes()
        workshop.fail("confirm/zlib", error)
        with pytest.raises(MereError, match="1 of 7 could not be tried") as caught:
            proofs.confirm(Session(config))
        assert not isinstance(caught.value, BuildError) and record.read_bytes() == before
        assert "confirm/zlib could not be tried: " in str(caught.value)
        assert len([id for id in workshop.asked if id.startswith("confirm/")]) == 7

    @pytest.mark.parametrize("error", [*TROUBLE, DifferenceError("rebuild/zlib is another")], ids=repr)
    def test_a_second_round_that_does_not_come_about_says_nothing_of_the_third(
        self, error: Exception, config: Config, record: Path, workshop: Workshop
    ) -> None:
        before = record.read_bytes()
        store = Store(config)
        for entry in store.entries():
            if entry.id == "rebuild/zlib":
                store.remove(entry)
        workshop.fail("rebuild/zlib", error)
        with pytest.raises(MereError) as caught:
            proofs.confirm(Session(config))
        assert record.read_bytes() == before and not [id for id in workshop.asked if id.startswith("confirm/")]
        assert isinstance(caught.value, DifferenceError) == isinstance(error, DifferenceError)

    def test_a_deadline_that_has_passed_proves_nothing(
        self, config: Config, record: Path, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = record.read_bytes()
        monkeypatch.setenv("MERE_DEADLINE", "1")
        with pytest.raises(BudgetError, match="7 of 7 could not be tried"):
            proofs.confirm(Session(config))
        assert record.read_bytes() == before and workshop.asked == []

    def test_ctrl_c_proves_nothing(self, config: Config, record: Path, workshop: Workshop) -> None:
        before = record.read_bytes()
        workshop.fail("confirm/zlib", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            proofs.confirm(Session(config))
        assert record.read_bytes() == before


class TestChain:
    @pytest.fixture(autouse=True)
    def _compilers(
        self,
        config: Config,
        add_step: Callable[..., Path],
        workshop: Workshop,
    ) -> None:
        """Two compilers that say who they are, where builds look for them; what should come out is recorded."""
        folder = config.checkout / "bin"
        folder.mkdir()
        for name in ("gcc", "cc-5", "c++-5"):
            (folder / name).write_text(
                '#!/bin/sh\n[ "$1" = --version ] && echo "our ${0##*/}, version 5" || echo 5.0\n'
            )
            (folder / name).chmod(0o755)
        add_step("cross/gcc")
        now = Session(config)
        ids = now.resolve(["rebuild"])
        entries = now.ensure_built(ids)
        update(config, digests_of(now.recipes(), (entries[id] for id in ids)))

    @staticmethod
    def _chain(config: Config, cc: str = "cc-5") -> None:
        proofs.chain(Session(config), cc, "c++-5", path=f"{config.checkout}/bin:/bin:/usr/bin")

    @pytest.fixture
    def record(self, config: Config) -> Path:
        """Both chains are recorded as whole; of the second no build is in the store any more."""
        self._chain(config)
        store = Store(config)
        for entry in store.entries():
            if entry.id != "cross/gcc":
                store.remove(entry)
        return _by_hand(config)

    def test_what_comes_out_as_recorded_is_proved(self, config: Config) -> None:
        self._chain(config)
        proved = recorded_proofs(config)
        for name in ("gcc 5.0", "cc-5 5.0"):
            assert proved[name].keys() == {*recorded_digests(config).packages, "cross/gcc"}
        assert proved["gcc 5.0"]["cross/gcc"] != proved["cc-5 5.0"]["cross/gcc"]
        # The version tells the builds of one compiler from those of the next.
        made = [entry for entry in Store(config).entries() if entry.id == "cross/gcc"]
        said = {(entry.tree / "compilers").read_text() for entry in made}
        assert said == {"None", "('cc-5', 'c++-5', 'our cc-5, version 5')"}

    def test_what_does_not_is_named_and_no_longer_proved(self, config: Config, record: Path) -> None:
        recorded = recorded_digests(config)
        before = recorded_proofs(config)
        update(config, Digests(recorded.sources, recorded.packages | {_file("make"): "0" * 64}))
        with pytest.raises(DifferenceError, match=f"package {_file('make')}: recorded {'0' * 64}, found"):
            self._chain(config)
        for name, proof in recorded_proofs(config).items():
            assert before[name].items() - proof.items() == {(_file("make"), recorded.packages[_file("make")])}

    def test_what_does_not_come_out_the_same_twice_is_no_longer_proved_of_that_chain(
        self, config: Config, record: Path, workshop: Workshop
    ) -> None:
        before = recorded_proofs(config)
        error = DifferenceError("rebuild/zlib failed: it is not what packages/zlib is")
        workshop.fail("rebuild/zlib", error, compilers=True)
        with pytest.raises(DifferenceError, match="it is not what packages/zlib is"):
            self._chain(config)
        after = recorded_proofs(config)
        assert after["gcc 5.0"] == before["gcc 5.0"]
        assert before["cc-5 5.0"].keys() - after["cc-5 5.0"].keys() == {_file("zlib")}

    @trouble
    def test_a_chain_that_breaks_off_is_left_as_it_was(
        self, error: Exception, config: Config, record: Path, workshop: Workshop
    ) -> None:
        before = record.read_bytes()
        # In either round; what needs a build that is missing in the first one is not tried at all.
        workshop.fail("packages/zlib" if isinstance(error, StoreError) else "rebuild/zlib", error)
        with pytest.raises(MereError, match="could not be tried") as caught:
            self._chain(config)
        assert not isinstance(caught.value, BuildError) and record.read_bytes() == before
        assert "rebuild/zlib from gcc 5.0 could not be tried: " in str(caught.value)
        assert "rebuild/zlib from cc-5 5.0 could not be tried: " in str(caught.value)

    def test_a_deadline_that_has_passed_proves_nothing(
        self, config: Config, record: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = record.read_bytes()
        monkeypatch.setenv("MERE_DEADLINE", "1")
        with pytest.raises(BudgetError, match="could not be tried: the time is up"):
            self._chain(config)
        assert record.read_bytes() == before

    def test_ctrl_c_proves_nothing(self, config: Config, record: Path, workshop: Workshop) -> None:
        before = record.read_bytes()
        workshop.fail("rebuild/zlib", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            self._chain(config)
        assert record.read_bytes() == before

    def test_recipes_that_are_not_the_recorded_ones_are_found_before_anything_is_built(
        self, config: Config, record: Path, workshop: Workshop
    ) -> None:
        before = record.read_bytes()
        recorded = recorded_digests(config)
        update(config, Digests({**recorded.sources, "old.tar.gz": "0" * 64}, recorded.packages))
        del workshop.asked[:]
        with pytest.raises(DifferenceError, match=r"source old\.tar\.gz: recorded, and no longer there"):
            self._chain(config)
        assert workshop.asked == [] and record.read_bytes() == before

    def test_the_same_compiler_by_another_name_proves_nothing(self, config: Config, workshop: Workshop) -> None:
        workshop.compilers_differ = False
        Store(config).remove(Session(config).ensure_built(["cross/gcc"])["cross/gcc"])
        with pytest.raises(MereError, match=r"cc-5 5\.0 makes the same cross compiler as gcc 5\.0"):
            self._chain(config)
        assert recorded_proofs(config) == {}

    def test_a_compiler_that_builds_would_not_find_is_none(self, config: Config) -> None:
        with pytest.raises(MereError, match="this host has no cc-6 in "):
            self._chain(config, "cc-6")


class TestDigests:
    @trouble
    def test_sums_that_could_not_be_had_are_no_difference(
        self, error: Exception, config: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def digests() -> Text:
            raise error

        monkeypatch.setattr(evidence, "digests", digests)
        record_proof(config, "round 3", {_file("zlib"): "a" * 64})
        record = _by_hand(config)
        before = record.read_bytes()
        with pytest.raises(
            MereError, match=r"the comparison with recipes/digests\.toml could not be tried: "
        ) as caught:
            proofs.digests(Session(config))
        assert not isinstance(caught.value, BuildError) and record.read_bytes() == before
