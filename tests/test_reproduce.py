"""What `rebuild` says of a package that came out the same, another one, or under another name."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from mere_helpers.config import Config
from mere_helpers.errors import BuildError, DifferenceError
from mere_helpers.store.store import Entry
from mere_helpers.verify.provenance import STATEMENTS
from mere_helpers.verify.repro import compare

from .rooms import write_package


@pytest.fixture
def given(config: Config, tmp_path: Path) -> Path:
    """A package of a repository."""
    config.work.mkdir(parents=True)
    return write_package(tmp_path / "repository", "zlib", {"lib/libz.so": "bytes"})


def _built(tmp_path: Path, files: dict[str, str]) -> Entry:
    """A build of the same recipe, with these files."""
    file = write_package(tmp_path / "again/out", "zlib", files)
    outputs = {file.name: {"sha256": "", "size": 1, "mode": 0o644}}
    return Entry("packages/zlib", "key", tmp_path / "again", {"outputs": outputs})


def test_the_same_bytes_are_equal(config: Config, given: Path, tmp_path: Path) -> None:
    result = compare(config, given, _built(tmp_path, {"lib/libz.so": "bytes"}))
    assert list(result.equal) == [given.name] and not result.different


def test_another_payload_is_a_difference_that_names_the_member(config: Config, given: Path, tmp_path: Path) -> None:
    result = compare(config, given, _built(tmp_path, {"lib/libz.so": "other"}))
    assert result.different == (given.name,) and not result.equal
    with pytest.raises(
        DifferenceError, match=r"cannot be reproduced: zlib-1-1-x86_64.pkg.tar.zst\n.*lib/libz\.so"
    ) as caught:
        raise result.error("cannot be reproduced")
    assert str(caught.value.log).endswith("again/log")


def test_what_cannot_be_read_as_a_package_is_a_difference_nevertheless(
    config: Config, given: Path, tmp_path: Path
) -> None:
    given.write_bytes(b"tampered")
    result = compare(config, given, _built(tmp_path, {"lib/libz.so": "bytes"}))
    assert result.different == (given.name,)
    assert result.lines[0].startswith("(where they differ could not be found out: ")


def test_other_bytes_with_the_same_payload_are_a_difference(config: Config, given: Path, tmp_path: Path) -> None:
    again = _built(tmp_path, {"lib/libz.so": "bytes"})
    file = again.tree / given.name
    unpacked = subprocess.run(["zstd", "-dcq", file], capture_output=True, check=True).stdout
    # The same archive, packed without a checksum.
    packed = subprocess.run(["zstd", "-cq", "--no-check"], input=unpacked, capture_output=True, check=True).stdout
    file.write_bytes(packed)
    result = compare(config, given, again)
    assert result.different == (given.name,) and result.lines[0].startswith("the payload is equal")


def test_a_file_under_another_name_is_not_taken_for_the_one_beside_it(
    config: Config, given: Path, tmp_path: Path
) -> None:
    copy = given.with_name("copy.pkg.tar.zst")
    copy.write_bytes(b"tampered")
    with pytest.raises(BuildError, match=r"the recipe makes zlib-1-1-x86_64.pkg.tar.zst, and not copy"):
        compare(config, copy, _built(tmp_path, {"lib/libz.so": "bytes"}))


@pytest.mark.parametrize(
    ("recorded", "hint"),
    [
        (None, f"perhaps it was made with another recipes/makepkg.conf; beside it is no {STATEMENTS} that tells"),
        ("a" * 64, f"it was made with another recipes/makepkg.conf, with sha256 {'a' * 64}; see git log"),
        ("today's", ""),
    ],
)
def test_a_difference_may_come_from_other_settings(
    config: Config, given: Path, tmp_path: Path, recorded: str | None, hint: str
) -> None:
    if recorded == "today's":
        recorded = hashlib.sha256((config.recipes / "makepkg.conf").read_bytes()).hexdigest()
    materials = [{"name": "recipes/makepkg.conf", "digest": {"sha256": recorded}}]
    statement = {
        "subject": [{"name": given.name if recorded else "another"}],
        "predicate": {"buildDefinition": {"resolvedDependencies": materials}},
    }
    given.with_name(STATEMENTS).write_text(f"{json.dumps(statement)}\n")
    found = compare(config, given, _built(tmp_path, {"lib/libz.so": "other"}))
    assert found.different and found.hint.startswith(hint) and bool(found.hint) == bool(hint)


def test_a_stranger_s_statements_that_cannot_be_read_tell_nothing(config: Config, given: Path, tmp_path: Path) -> None:
    for text in ("<html>", "{}", '{"subject": 5}'):
        given.with_name(STATEMENTS).write_text(text)
        found = compare(config, given, _built(tmp_path, {"lib/libz.so": "other"}))
        assert found.different and found.hint.startswith("perhaps it was made with another")
