"""The commands that prove something over many packages; the builds themselves are tested elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from mere_helpers.config import Config
from mere_helpers.errors import BuildError
from mere_helpers.proving.record import record_proof, recorded_proofs
from mere_helpers.reading import proofs
from mere_helpers.storage.store import Entry


def _file(name: str) -> str:
    return f"{name}-1-1-x86_64.pkg.tar.zst"


@pytest.fixture(autouse=True)
def entries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every recipe is built already, into one package whose sum is made of its name."""

    def built(config: Config, graph: object, ids: Iterable[str]) -> dict[str, Entry]:
        names = {id: id.partition("/")[2] for id in ids}
        metas = {
            id: {"outputs": {_file(name): {"sha256": name.ljust(64, "0"), "size": 1, "mode": 0o644}}}
            for id, name in names.items()
        }
        return {id: Entry(id, id, tmp_path, meta) for id, meta in metas.items()}

    monkeypatch.setattr(proofs, "built", built)


def test_what_is_equal_elsewhere_is_recorded_and_what_is_not_is_dropped(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vary(config: Config, graph: object, id: str, *others: Any) -> None:
        if id == "rebuild/zlib":
            raise BuildError("zlib is another one elsewhere")

    monkeypatch.setattr(proofs, "vary", vary)
    record_proof(config, "elsewhere", {_file("zlib"): "a" * 64, _file("make"): "b" * 64})
    with pytest.raises(BuildError, match="1 of 3 recipes are not equal elsewhere") as caught:
        proofs.elsewhere(config, ["zlib", "musl", "hello"])
    assert "rebuild/zlib: zlib is another one" in str(caught.value)
    assert recorded_proofs(config) == {
        "elsewhere": {
            _file("hello"): "hello".ljust(64, "0"),
            _file("make"): "b" * 64,
            _file("musl"): "musl".ljust(64, "0"),
        }
    }


def test_an_error_that_nobody_expected_proves_nothing(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def vary(*arguments: Any) -> None:
        raise OSError("the disk is on fire")

    monkeypatch.setattr(proofs, "vary", vary)
    with pytest.raises(OSError, match="on fire"):
        proofs.elsewhere(config, ["zlib"])
    assert recorded_proofs(config) == {}
