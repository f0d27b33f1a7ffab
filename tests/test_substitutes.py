"""Builds taken from someone else: signed, verified, and only what they say they are."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import json
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mere_helpers.config import Config
from mere_helpers.errors import StoreError
from mere_helpers.storage.store import Entry, Store
from mere_helpers.storage.substitutes import Substitutes, export

KEY, OTHER = "k" * 64, "o" * 64
NEWER = hasattr(tarfile, "tar_filter")


def without_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tarfile be as in Python 3.11.2."""
    extractall = tarfile.TarFile.extractall

    def older(self: tarfile.TarFile, path: Path, members: Iterable[tarfile.TarInfo]) -> None:
        extractall(self, path, members, **({"filter": "fully_trusted"} if NEWER else {}))

    monkeypatch.delattr(tarfile, "tar_filter", raising=False)
    monkeypatch.setattr(tarfile.TarFile, "extractall", older)


def fill(folder: Path) -> dict:
    (folder / "out" / "bin").mkdir()
    (folder / "out" / "bin" / "hello").write_text("hello")
    (folder / "out" / "bin" / "hello").chmod(0o755)
    (folder / "out" / "bin" / "hi").symlink_to("hello")
    (folder / "log").write_text("all went well")
    return {"wall_s": 1.0, "cpu_s": 2.0}


@pytest.fixture
def maker(tmp_path: Path) -> Config:
    return Config(tmp_path, tmp_path / "maker", tmp_path / "sources")


@pytest.fixture
def entry(maker: Config) -> Entry:
    return Store(maker).add("packages/a", KEY, {}, fill)


@pytest.fixture
def packed(maker: Config, entry: Entry, tmp_path: Path) -> tuple[Path, str]:
    folder = tmp_path / "packed"
    return folder, export(maker, [entry], folder)


@pytest.fixture
def taker(tmp_path: Path, packed: tuple[Path, str]) -> Config:
    return replace(
        Config(tmp_path, tmp_path / "taker", tmp_path / "sources"),
        substitutes=str(packed[0]),
        substitutes_key=packed[1],
    )


@pytest.fixture
def site(packed: tuple[Path, str]) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=packed[0])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_what_was_packed_is_taken_as_it_was(taker: Config, entry: Entry) -> None:
    store = Store(taker)
    taken = store.take("packages/a", KEY)
    assert taken is not None and taken.meta == entry.meta
    store.verify(taken)
    assert (taken.tree / "bin/hi").readlink() == Path("hello")
    assert taken.log.read_text() == "all went well"
    assert store.find(KEY) == taken and store.latest("packages/a") == taken


def test_who_takes_second_gets_what_is_there(taker: Config) -> None:
    taken = Store(taker).take("packages/a", KEY)
    assert taken is not None
    # A folder that is in use must not be replaced, not even by its like.
    with open(taken.tree / "bin/hello") as file:
        assert Store(taker).take("packages/a", KEY) == taken
        assert os.fstat(file.fileno()).st_nlink == 1


def test_a_site_serves_as_well_as_a_folder(taker: Config, site: str) -> None:
    assert Store(replace(taker, substitutes=site)).take("packages/a", KEY)
    with pytest.raises(StoreError, match="MERE_OFFLINE is set"):
        Store(replace(taker, substitutes=site, offline=True)).take("packages/a", OTHER)


def test_what_they_lack_has_to_be_built(taker: Config) -> None:
    assert Store(taker).take("packages/a", OTHER) is None
    assert not list((taker.work / "entries").glob("*"))


def test_without_substitutes_nothing_is_taken(maker: Config) -> None:
    assert Store(maker).take("packages/b", OTHER) is None


def test_one_changed_byte_is_noticed(taker: Config, packed: tuple[Path, str]) -> None:
    archive = packed[0] / f"{KEY}.tar.zst"
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)
    with pytest.raises(StoreError, match="packages/a is not the one that was signed: expected sha256"):
        Store(taker).take("packages/a", KEY)
    assert Store(taker).find(KEY) is None


def test_an_index_that_is_not_signed_with_the_key_is_refused(taker: Config, packed: tuple[Path, str]) -> None:
    index = packed[0] / "index.json"
    index.write_text(index.read_text().replace("packages/a", "packages/b"))
    with pytest.raises(StoreError, match="is not signed with the key in MERE_SUBSTITUTES_KEY"):
        Store(taker).take("packages/a", KEY)


def test_a_stranger_cannot_sign(taker: Config, entry: Entry, packed: tuple[Path, str], tmp_path: Path) -> None:
    export(Config(tmp_path, tmp_path / "stranger", tmp_path / "sources"), [entry], packed[0])
    with pytest.raises(StoreError, match="is not signed with the key"):
        Store(taker).take("packages/a", KEY)


@pytest.mark.parametrize("key", ["", "no key", base64.b64encode(b"short").decode()])
def test_without_a_key_nothing_is_trusted(taker: Config, key: str) -> None:
    with pytest.raises(StoreError, match="MERE_SUBSTITUTES_KEY is not a public key"):
        Store(replace(taker, substitutes_key=key)).take("packages/a", KEY)


def test_an_entry_under_another_name_is_refused(taker: Config) -> None:
    with pytest.raises(StoreError, match="the substitute for packages/b is not what it says"):
        Store(taker).take("packages/b", KEY)
    assert Store(taker).find(KEY) is None


@pytest.mark.parametrize("filters", [True, False], ids=["with filters", "as in Python 3.11.2"])
@pytest.mark.parametrize(
    ("type", "name", "target"),
    [
        (tarfile.REGTYPE, "{outside}/new", ""),
        (tarfile.REGTYPE, "../outside/new", ""),
        (tarfile.REGTYPE, "out/away/new", ""),
        (tarfile.LNKTYPE, "out/second", "../outside/file"),
        (tarfile.LNKTYPE, "out/second", "out/away/file"),
    ],
)
def test_an_archive_stays_in_its_folder_even_if_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filters: bool, type: bytes, name: str, target: str
) -> None:
    outside, packed = tmp_path / "outside", tmp_path / "packed"
    outside.mkdir()
    (outside / "file").write_text("mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    packed.mkdir()
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        link, member = tarfile.TarInfo("out/away"), tarfile.TarInfo(name.format(outside=outside))
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        member.type, member.linkname = type, target
        archive.addfile(link)
        archive.addfile(member)
    subprocess.run(["zstd", "-q", tmp_path / "evil.tar", "-o", packed / f"{KEY}.tar.zst"], check=True)
    sha256 = hashlib.sha256((packed / f"{KEY}.tar.zst").read_bytes()).hexdigest()
    evil = Substitutes(Config(tmp_path, tmp_path / "store", tmp_path / "sources", substitutes=str(packed)))
    evil.__dict__["_index"] = {KEY: {"id": "packages/a", "sha256": sha256}}
    if not filters:
        without_filters(monkeypatch)
    with pytest.raises(StoreError, match="the substitute for packages/a has a file outside of its folder"):
        evil.unpack(KEY, folder)
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").stat().st_nlink == 1 and not (folder / "out/second").exists()


def test_a_python_without_filters_unpacks_as_well(taker: Config, entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    without_filters(monkeypatch)
    taken = Store(taker).take("packages/a", KEY)
    assert taken is not None and taken.meta == entry.meta


def test_a_damaged_entry_is_refused_even_if_signed(maker: Config, entry: Entry, taker: Config, tmp_path: Path) -> None:
    (entry.tree / "bin/hello").chmod(0o644)
    (entry.tree / "bin/hello").write_text("hullo")
    folder = tmp_path / "damaged"
    key = export(maker, [entry], folder)
    with pytest.raises(StoreError, match="is not what it says"):
        Store(replace(taker, substitutes=str(folder), substitutes_key=key)).take("packages/a", KEY)


def test_places_that_do_not_answer_are_named(taker: Config, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot read index\.json of"):
        Store(replace(taker, substitutes=str(tmp_path / "nowhere"))).take("packages/a", KEY)
    with pytest.raises(StoreError, match=r"cannot get http://127\.0\.0\.1:9/index\.json"):
        Store(replace(taker, substitutes="http://127.0.0.1:9")).take("packages/a", KEY)


def test_a_transfer_that_breaks_off_is_named(taker: Config, packed: tuple[Path, str]) -> None:
    class Faint(http.server.SimpleHTTPRequestHandler):
        def copyfile(self, source, outputfile) -> None:
            outputfile.write(source.read()[:100] if self.path.endswith(".zst") else source.read())

    handler = functools.partial(Faint, directory=packed[0])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(StoreError, match=r"cannot get .*\.tar\.zst") as caught:
            Store(replace(taker, substitutes=f"http://127.0.0.1:{server.server_port}/")).take("packages/a", KEY)
        server.shutdown()
    assert "run again" in caught.value.hint
    assert Store(taker).find(KEY) is None


def test_the_key_stays_at_home(maker: Config, packed: tuple[Path, str]) -> None:
    private = maker.store / "substitutes.key"
    assert private.stat().st_mode & 0o077 == 0
    assert all(private.read_bytes() not in path.read_bytes() for path in packed[0].iterdir())


def test_packing_again_adds_only_what_is_new(maker: Config, entry: Entry, packed: tuple[Path, str]) -> None:
    first = packed[0] / f"{KEY}.tar.zst"
    before = first.stat().st_mtime_ns
    other = Store(maker).add("packages/b", OTHER, {}, fill)
    assert export(maker, [entry, other], packed[0]) == packed[1]
    assert first.stat().st_mtime_ns == before
    assert set(json.loads((packed[0] / "index.json").read_text())) == {KEY, OTHER}
