"""Builds taken from someone else: signed, verified, and only what they say they are."""

from __future__ import annotations

import base64
import functools
import http.server
import io
import json
import os
import tarfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mere_helpers.config import Config
from mere_helpers.errors import StoreError
from mere_helpers.store.signed_index import read_index
from mere_helpers.store.store import Entry, Store
from mere_helpers.store.substitutes import OLD, Substitutes, export

from .packing import pack, publish

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
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        link, member = tarfile.TarInfo("out/away"), tarfile.TarInfo(name.format(outside=outside))
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        member.type, member.linkname = type, target
        archive.addfile(link)
        archive.addfile(member)
    public = publish(packed, Ed25519PrivateKey.generate(), {KEY: pack(packed, KEY, tar.getvalue())})
    evil = Substitutes(
        Config(tmp_path, tmp_path / "store", tmp_path / "sources", substitutes=str(packed), substitutes_key=public)
    )
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
    assert set(json.loads((packed[0] / "index.json").read_text())["payload"]["offers"]) == {KEY, OTHER}
    assert {path.name for path in packed[0].iterdir()} == {f"{KEY}.tar.zst", f"{OTHER}.tar.zst", "index.json"}


def test_a_folder_may_be_named_by_an_address(taker: Config, packed: tuple[Path, str]) -> None:
    assert Store(replace(taker, substitutes=packed[0].as_uri())).take("packages/a", KEY)


def test_an_index_that_is_older_than_one_seen_is_refused(
    maker: Config, taker: Config, entry: Entry, packed: tuple[Path, str]
) -> None:
    old = (packed[0] / "index.json").read_bytes()
    export(maker, [entry], packed[0])
    assert Store(taker).offered(KEY) == entry.output_digest
    (packed[0] / "index.json").write_bytes(old)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"has the serial number .* but this store has seen .*: an old index"):
            Store(taker).take("packages/a", KEY)
    export(maker, [entry], packed[0])
    assert Store(taker).take("packages/a", KEY), "exported again, it is the newest"


def test_serial_numbers_of_different_keys_are_apart(tmp_path: Path, taker: Config) -> None:
    place = tmp_path / "place"
    place.mkdir()
    for serial in (7, 3):
        public = publish(place, Ed25519PrivateKey.generate(), {}, serial=serial)
        assert Store(replace(taker, substitutes=str(place), substitutes_key=public)).offered(KEY) is None


def test_serial_numbers_go_up_when_the_clock_was_set_back(
    maker: Config, entry: Entry, packed: tuple[Path, str]
) -> None:
    """A store that has given out a number of next year goes on behind it, also where its memory is lost."""
    far = int(time.time()) + 365 * 24 * 3600
    private = Ed25519PrivateKey.from_private_bytes((maker.store / "substitutes.key").read_bytes())
    publish(packed[0], private, {}, serial=far)
    (maker.store / "substitutes.seen").unlink()
    serials = []
    for _ in range(2):
        export(maker, [entry], packed[0])
        serials.append(json.loads((packed[0] / "index.json").read_text())["payload"]["serial"])
        (packed[0] / "index.json").unlink()
    assert serials == [far + 1, far + 2]


def test_a_damaged_memory_of_serial_numbers_is_named(taker: Config) -> None:
    taker.store.mkdir()
    (taker.store / "substitutes.seen").write_text("[]")
    with pytest.raises(StoreError, match=r"substitutes\.seen is damaged") as caught:
        Store(taker).take("packages/a", KEY)
    assert caught.value.hint.startswith("rm ")


def test_an_old_index_is_named_and_used(tmp_path: Path, taker: Config, packed: tuple[Path, str]) -> None:
    place = tmp_path / "place"
    place.mkdir()
    public = publish(place, Ed25519PrivateKey.generate(), {}, date=time.time() - OLD - 3600)
    store = Store(replace(taker, substitutes=str(place), substitutes_key=public))
    with pytest.warns(UserWarning, match="is 90 days old") as told:
        assert store.offered(KEY) is None and store.offered(OTHER) is None
    assert len(told) == 1


@pytest.mark.parametrize("place", ["http://me:s3cret@127.0.0.1:9", "ftp://me:s3cret@host/x", "file:///me:s3cret@host"])
def test_a_password_is_in_no_message(taker: Config, place: str) -> None:
    config = replace(taker, substitutes=place, mirrors=(place,))
    for settings in (config, replace(config, offline=True)):
        with pytest.raises(StoreError) as caught:
            Store(settings).take("packages/a", KEY)
        assert "s3cret" not in str(caught.value) and "s3cret" not in repr(settings)


def test_two_exports_at_once_end_in_one_key_and_a_good_index(maker: Config, entry: Entry, tmp_path: Path) -> None:
    (maker.store / "substitutes.key").unlink(missing_ok=True)
    folder = tmp_path / "shared"
    with ThreadPoolExecutor(4) as pool:
        keys = set(pool.map(lambda _: export(maker, [entry], folder), range(4)))
    (public,) = keys
    taker = Config(tmp_path, tmp_path / "taker", tmp_path, substitutes=str(folder), substitutes_key=public)
    assert Store(taker).take("packages/a", KEY)
    assert {path.name for path in folder.iterdir()} == {f"{KEY}.tar.zst", "index.json"}


def test_a_reader_never_sees_half_an_export(maker: Config, entry: Entry, packed: tuple[Path, str]) -> None:
    over = threading.Event()

    def read() -> int:
        count = 0
        while not over.is_set() or not count:
            read_index((packed[0] / "index.json").read_bytes(), packed[1])
            count += 1
        return count

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        for _ in range(10):
            export(maker, [entry], packed[0])
        over.set()
        assert reading.result(60)


def test_a_damaged_archive_is_packed_again(
    maker: Config, taker: Config, entry: Entry, packed: tuple[Path, str]
) -> None:
    archive = packed[0] / f"{KEY}.tar.zst"
    archive.write_bytes(archive.read_bytes()[:-9])
    export(maker, [entry], packed[0])
    assert Store(taker).take("packages/a", KEY)


def test_a_key_that_is_no_key_is_named(maker: Config, entry: Entry, tmp_path: Path) -> None:
    (maker.store / "substitutes.key").write_text("short")
    with pytest.raises(StoreError, match=r"substitutes\.key is not a private key"):
        export(maker, [entry], tmp_path / "folder")
