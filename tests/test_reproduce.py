"""What `rebuild` says of a package that came out the same, another one, or under another name."""

from __future__ import annotations

from pathlib import Path

import pytest

from mere_helpers.errors import BuildError
from mere_helpers.proving.reproduce import _compare
from mere_helpers.storage.store import Entry

from .rooms import write_package


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A package of a repository."""
    return write_package(tmp_path / "repository", "zlib", {"lib/libz.so": "bytes"})


def _built(tmp_path: Path, files: dict[str, str]) -> Entry:
    """A build of the same recipe, with these files."""
    file = write_package(tmp_path / "again/out", "zlib", files)
    outputs = {file.name: {"sha256": "", "size": 1, "mode": 0o644}}
    return Entry("packages/zlib", "key", tmp_path / "again", {"outputs": outputs})


def test_the_same_bytes_are_equal(given: Path, tmp_path: Path) -> None:
    _compare(given, _built(tmp_path, {"lib/libz.so": "bytes"}), tmp_path / "given")


def test_another_payload_is_an_error_that_names_the_member(given: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"zlib-1-1-x86_64.pkg.tar.zst cannot be reproduced:\n.*lib/libz\.so"):
        _compare(given, _built(tmp_path, {"lib/libz.so": "other"}), tmp_path / "given")


def test_other_bytes_with_the_same_payload_are_an_error(given: Path, tmp_path: Path) -> None:
    again = _built(tmp_path, {"lib/libz.so": "bytes"})
    file = again.tree / given.name
    file.write_bytes(file.read_bytes() + b"\x50\x2a\x4d\x18\0\0\0\0")  # an empty frame that decompressors skip
    with pytest.raises(BuildError, match="the payload is equal"):
        _compare(given, again, tmp_path / "given")


def test_a_file_under_another_name_is_not_taken_for_the_one_beside_it(given: Path, tmp_path: Path) -> None:
    copy = given.with_name("copy.pkg.tar.zst")
    copy.write_bytes(b"tampered")
    with pytest.raises(BuildError, match=r"the recipe makes zlib-1-1-x86_64.pkg.tar.zst, and not copy"):
        _compare(copy, _built(tmp_path, {"lib/libz.so": "bytes"}), tmp_path / "given")
