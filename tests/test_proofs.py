"""The commands that prove something over many packages; the builds themselves are tested elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from mere_helpers.config import Config
from mere_helpers.errors import BuildError, MereError
from mere_helpers.proving.digests import Digests, recorded_digests, update
from mere_helpers.proving.record import record_proof, recorded_proofs
from mere_helpers.reading import proofs
from mere_helpers.storage.store import Entry


def _file(name: str) -> str:
    return f"{name}-1-1-x86_64.pkg.tar.zst"


@pytest.fixture(autouse=True)
def entries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every source is there, and every recipe is built, into one package whose sum is made of its name."""

    def built(config: Config, graph: object, ids: Iterable[str]) -> dict[str, Entry]:
        names = {id: id.partition("/")[2] for id in ids}
        metas = {
            id: {
                "outputs": {_file(name): {"sha256": name.ljust(64, "0"), "size": 1, "mode": 0o644}},
                "output_digest": f"{name} by {config.compilers}",
            }
            for id, name in names.items()
        }
        return {id: Entry(id, id, tmp_path, meta) for id, meta in metas.items()}

    monkeypatch.setattr(proofs, "built", built)
    monkeypatch.setattr(proofs, "fetched", lambda config, recipes: None)


def test_what_is_equal_elsewhere_is_recorded_and_what_is_not_is_dropped(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vary(config: Config, graph: object, id: str, *others: Any) -> None:
        if id == "rebuild/zlib":
            raise BuildError("zlib is another one elsewhere")

    monkeypatch.setattr(proofs, "vary", vary)
    update(config, Digests({}, {_file(name): name.ljust(64, "0") for name in ("zlib", "musl", "hello")}))
    record_proof(config, "elsewhere", {_file("zlib"): "a" * 64, _file("make"): "b" * 64})
    with pytest.raises(BuildError, match="1 of 3 recipes are not equal elsewhere") as caught:
        proofs.elsewhere(config, ["zlib", "musl", "hello", "zlib"])
    assert "rebuild/zlib: zlib is another one" in str(caught.value)
    assert recorded_proofs(config) == {
        "elsewhere": {
            _file("hello"): "hello".ljust(64, "0"),
            _file("make"): "b" * 64,
            _file("musl"): "musl".ljust(64, "0"),
        }
    }


@pytest.mark.parametrize("equal", [True, False])
def test_what_a_reader_has_made_of_a_package_is_neither_recorded_nor_dropped(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], equal: bool
) -> None:
    def vary(*arguments: Any) -> None:
        if not equal:
            raise BuildError("zlib is another one elsewhere")

    monkeypatch.setattr(proofs, "vary", vary)
    update(config, Digests({}, {_file("zlib"): "a" * 64}))
    record_proof(config, "elsewhere", {_file("zlib"): "a" * 64})
    with nullcontext() if equal else pytest.raises(BuildError, match="1 of 1 recipes are not equal"):
        proofs.elsewhere(config, ["zlib"])
    assert recorded_proofs(config) == {"elsewhere": {_file("zlib"): "a" * 64}}
    assert "rebuild/zlib, which is not as in recipes/digests.toml: nothing is recorded" in capsys.readouterr().err


def test_an_error_that_nobody_expected_proves_nothing(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def vary(*arguments: Any) -> None:
        raise OSError("the disk is on fire")

    monkeypatch.setattr(proofs, "vary", vary)
    with pytest.raises(OSError, match="on fire"):
        proofs.elsewhere(config, ["zlib"])
    assert recorded_proofs(config) == {}


def test_a_third_round_that_does_not_come_about_proves_nothing_of_it(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*arguments: Any) -> None:
        raise BuildError("confirm/zlib: it is not what rebuild/zlib is")

    def found(config: Config, ids: Iterable[str], *, plan: object) -> dict[str, Entry]:
        """All but the third zlib is in the store."""
        metas = {id: {"outputs": {_file(id.partition("/")[2]): {"sha256": "", "size": 1, "mode": 0o644}}} for id in ids}
        return {id: Entry(id, id, tmp_path, meta) for id, meta in metas.items() if id != "confirm/zlib"}

    monkeypatch.setattr(proofs, "built", broken)
    monkeypatch.setattr(proofs, "found", found)
    record_proof(config, "round 3", {_file("zlib"): "a" * 64, _file("make"): "b" * 64})
    with pytest.raises(BuildError, match="it is not what"):
        proofs.confirm(config)
    assert recorded_proofs(config) == {"round 3": {_file("make"): "b" * 64}}


def test_a_package_that_makes_itself_again_is_not_taken_for_the_recorded_one(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = {_file("gcc"): "a" * 64, _file("gcc-libs"): "b" * 64}
    monkeypatch.setattr(proofs, "reproduce", lambda *arguments, **options: same)
    update(config, Digests({}, same))
    assert proofs.rebuild(config, Path(_file("gcc"))).note == ""
    update(config, Digests({}, same | {_file("gcc"): "c" * 64}))
    assert proofs.rebuild(config, Path(_file("gcc"))).note == f"Not as in recipes/digests.toml: {_file('gcc')}."


class TestChain:
    @pytest.fixture(autouse=True)
    def _compilers(self, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two compilers that say who they are, where builds look for them."""
        folder = config.checkout / "bin"
        folder.mkdir()
        for name in ("gcc", "cc-5", "c++-5"):
            (folder / name).write_text(
                '#!/bin/sh\n[ "$1" = --version ] && echo "our ${0##*/}, version 5" || echo 5.0\n'
            )
            (folder / name).chmod(0o755)
        monkeypatch.setattr(proofs, "clean_environment", lambda: {"PATH": f"{folder}:/bin:/usr/bin"})
        update(config, Digests({}, {_file("zlib"): "a" * 64, _file("make"): "b" * 64}))

    @staticmethod
    def _makes(monkeypatch: pytest.MonkeyPatch, **packages: str) -> list[Config]:
        asked: list[Config] = []

        def published_digests(config: Config) -> Digests:
            asked.append(config)
            return Digests({}, {_file(name): letter * 64 for name, letter in packages.items()})

        monkeypatch.setattr(proofs, "published_digests", published_digests)
        return asked

    def test_what_comes_out_as_recorded_is_proved(self, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = self._makes(monkeypatch, zlib="a", make="b")
        proofs.chain(config, "cc-5", "c++-5")
        proved = recorded_proofs(config)
        for name in ("gcc 5.0", "cc-5 5.0"):
            assert proved[name].keys() == {_file("zlib"), _file("make"), "cross/gcc"}
        assert proved["gcc 5.0"]["cross/gcc"] != proved["cc-5 5.0"]["cross/gcc"]
        # The version tells the builds of one compiler from those of the next.
        assert [place.compilers for place in asked] == [None, ("cc-5", "c++-5", "our cc-5, version 5")]

    def test_what_does_not_is_named_and_no_longer_proved(self, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
        self._makes(monkeypatch, zlib="a", make="c")
        record_proof(config, "gcc 5.0", {_file("zlib"): "a" * 64, _file("make"): "b" * 64})
        with pytest.raises(BuildError, match=_file("make")):
            proofs.chain(config, "cc-5", "c++-5")
        assert recorded_proofs(config)["gcc 5.0"] == {_file("zlib"): "a" * 64}

    def test_a_chain_that_breaks_off_proves_nothing(self, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
        def published_digests(place: Config) -> Digests:
            if place.compilers:
                raise BuildError("rebuild/zlib failed: it is not what packages/zlib is")
            return recorded_digests(config)

        monkeypatch.setattr(proofs, "published_digests", published_digests)
        record_proof(config, "cc-5 5.0", {_file("zlib"): "a" * 64})
        with pytest.raises(BuildError, match="it is not what"):
            proofs.chain(config, "cc-5", "c++-5")
        assert recorded_proofs(config)["cc-5 5.0"] == {}

    def test_the_same_compiler_by_another_name_proves_nothing(
        self, config: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(proofs, "replace", lambda config, compilers: config)
        with pytest.raises(MereError, match=r"cc-5 5\.0 makes the same cross compiler as gcc 5\.0"):
            proofs.chain(config, "cc-5", "c++-5")
        assert recorded_proofs(config) == {}

    def test_a_compiler_that_builds_would_not_find_is_none(self, config: Config) -> None:
        with pytest.raises(MereError, match="this host has no cc-6 in "):
            proofs.chain(config, "cc-6", "c++-5")
