"""The book as one file for e-book readers: complete, well-formed, and as the standard wants it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urldefrag, urlsplit
from xml.etree import ElementTree

import pytest

from .rendered import rendered

pytestmark = [pytest.mark.site, pytest.mark.slow]

PACKAGE = "{http://www.idpf.org/2007/opf}"
PAGE = "application/xhtml+xml"


@pytest.fixture(scope="module")
def epub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    room = rendered(tmp_path_factory.mktemp("book"), "--builder", "custom", "--custom-builder", "epub")
    return room / "epub/mere-linux-from-source.epub"


@pytest.fixture(scope="module")
def texts(epub: Path) -> dict[str, ElementTree.Element]:
    """The pages by name; each is well-formed, or this fails."""
    with zipfile.ZipFile(epub) as file:
        items = ElementTree.fromstring(file.read("content.opf")).iter(f"{PACKAGE}item")
        names = [unquote(item.attrib["href"]) for item in items if item.attrib["media-type"] == PAGE]
        return {name: ElementTree.fromstring(file.read(name)) for name in names}


def test_it_begins_with_its_type(epub: Path) -> None:
    with zipfile.ZipFile(epub) as file:
        first = file.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
        assert file.read(first) == b"application/epub+zip"


def test_it_holds_what_it_lists(epub: Path) -> None:
    with zipfile.ZipFile(epub) as file:
        items = ElementTree.fromstring(file.read("content.opf")).iter(f"{PACKAGE}item")
        assert {unquote(item.attrib["href"]) for item in items} <= set(file.namelist())


def test_all_that_a_page_refers_to_is_there(epub: Path, texts: dict[str, ElementTree.Element]) -> None:
    with zipfile.ZipFile(epub) as file:
        present = set(file.namelist())
    names = {name: {found.get("id") for found in text.iter()} for name, text in texts.items()}
    broken = []
    for name, text in texts.items():
        for found in text.iter():
            address = found.attrib.get("src", found.attrib.get("href", ""))
            path, fragment = urldefrag(address)
            if urlsplit(address).scheme:
                continue
            target = _normal(PurePosixPath(name).parent / unquote(path)) if path else name
            if target not in present or (fragment and unquote(fragment) not in names.get(target, ())):
                broken.append(f"{name}: {address}")
    assert broken == []


def test_pictures_are_files_and_say_what_they_show(texts: dict[str, ElementTree.Element]) -> None:
    pictures = [found for text in texts.values() for found in text.iter() if found.tag.endswith("}img")]
    assert len(pictures) > 5
    assert [found.attrib["src"] for found in pictures if not found.attrib.get("alt", "").startswith("figure")] == []
    assert not any(found.tag.endswith("}svg") for text in texts.values() for found in text.iter())


def test_the_standard_is_kept(epub: Path) -> None:
    if shutil.which("java") is None:
        pytest.skip("this host has no Java, so epubcheck has not looked at the e-book")
    command = [sys.executable, "-m", "epubcheck", epub]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, (checked.stdout + checked.stderr)[-4000:]


def _normal(path: PurePosixPath) -> str:
    """A path without ``..``."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
