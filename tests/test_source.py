"""Sources: good files from every kind of mirror, and every kind of bad one."""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mere_helpers.config import Config
from mere_helpers.errors import SourceError
from mere_helpers.fetching.address import shown
from mere_helpers.fetching.cache import (
    LARGEST_KEPT,
    FetchedFile,
    FetchEvent,
    _Errand,
    fetch,
    print_progress,
    source_path,
    verified_path,
)
from mere_helpers.fetching.debian import Debian
from mere_helpers.fetching.mirrors import mirrors_of
from mere_helpers.planning.recipe import Source

from .apt import Apt

GOOD = lzma.compress(os.urandom(300_000))
PIN = hashlib.sha256(GOOD).hexdigest()
NAME = "tool-1.0.tar.xz"


@dataclass(frozen=True)
class Wanted:
    """As much of a recipe as fetching looks at."""

    sources: tuple[Source, ...]


class Site:
    """A web server on the loopback: path → answer."""

    def __init__(self) -> None:
        self.pages: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                page = site.pages.get(self.path)
                if page is None:
                    self.send_error(404)
                else:
                    page(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def put(self, path: str, data: bytes, *, length: int | None = None, **headers: str) -> str:
        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            for name, value in {"Content-Length": str(length or len(data)), **headers}.items():
                request.send_header(name.replace("_", "-"), value)
            request.end_headers()
            request.wfile.write(data)

        self.pages[path] = answer
        return self.url + path

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def settings(tmp_path: Path, *mirrors: str | Path, offline: bool = False) -> Config:
    return Config(
        checkout=tmp_path,
        store=tmp_path / "store",
        sources=tmp_path / "sources",
        mirrors=tuple(map(str, mirrors)),
        offline=offline,
    )


def source(url: str | None = None, *, sha256: str = PIN, name: str = NAME, debian: tuple[str, ...] = ()) -> Source:
    return Source(name=name, url=url, sha256=sha256, debian=debian, recipe="packages/tool")


def folder_with(tmp_path: Path, data: bytes, name: str = NAME) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return folder


def failure(config: Config, wanted: Source) -> SourceError:
    with pytest.raises(SourceError) as caught:
        fetch(config, [Wanted((wanted,))])
    assert not source_path(config, wanted).exists(), "a bad file is never in its place"
    return caught.value


def rejected(config: Config) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (config.sources / "rejected").glob("*")}


def kept_name(data: bytes) -> str:
    return f"{NAME}.{hashlib.sha256(data).hexdigest()[:8]}"


def test_from_the_web_once(tmp_path: Path, site: Site) -> None:
    config = settings(tmp_path)
    wanted = source(site.put("/tool", GOOD))
    events: list[FetchEvent] = []
    files = fetch(config, [Wanted((wanted,)), Wanted((wanted,))], events.append)
    assert files == [FetchedFile(NAME, len(GOOD), PIN)]
    assert source_path(config, wanted).read_bytes() == GOOD
    assert not list((config.sources / "partial").iterdir())
    assert [event.kind for event in events if event.kind != "bytes"] == ["done"]
    assert max(event.bytes for event in events) == len(GOOD)

    again = fetch(config, [Wanted((wanted,))], events.append)
    assert again == files
    assert events[-1].kind == "cached"
    assert site.asked == ["/tool"]


def test_a_server_that_calls_the_archive_a_compressed_transfer(tmp_path: Path, site: Site) -> None:
    fetch(settings(tmp_path), [Wanted((source(site.put("/tool", GOOD, Content_Encoding="gzip")),))])


@pytest.mark.parametrize("place", [NAME, f"{PIN}/{NAME}", f"pool/main/t/tool/{NAME}", f"pool/main/libt/libtool/{NAME}"])
def test_the_users_mirrors_come_first(tmp_path: Path, site: Site, place: str) -> None:
    folder = tmp_path / "a folder"
    (folder / place).parent.mkdir(parents=True)
    (folder / place).write_bytes(GOOD)
    wanted = source(site.put("/upstream", GOOD), debian=("tool=1", "libtool=1"))
    for mirror in (str(folder), folder.as_uri()):
        config = Config(tmp_path, tmp_path / "s", tmp_path / mirror.replace("/", "_"), mirrors=(mirror,))
        fetch(config, [Wanted((wanted,))])
    site.put(f"/files/{place}", GOOD)
    fetch(settings(tmp_path, f"{site.url}/files/"), [Wanted((wanted,))])
    assert "/upstream" not in site.asked


def test_a_folder_of_files_named_by_their_sha256_is_looked_through(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, GOOD, PIN)
    assert "your mirror 1   not there" in failure(settings(tmp_path, folder), source()).message
    fetch(settings(tmp_path, folder_with(tmp_path, GOOD)), [Wanted((source(),))])


def test_offline_uses_folders_and_the_cache_only(tmp_path: Path, site: Site) -> None:
    wanted = source(site.put("/tool", GOOD), debian=("tool=1",))
    error = failure(settings(tmp_path, f"{site.url}/", offline=True), wanted)
    assert "not asked: offline" in error.message and "MERE_OFFLINE" in error.hint
    config = settings(tmp_path, folder_with(tmp_path, GOOD), offline=True)
    fetch(config, [Wanted((wanted,))])
    fetch(settings(tmp_path, offline=True), [Wanted((wanted,))])
    assert site.asked == []


@pytest.mark.parametrize("security", [False, True])
def test_debian_comes_before_upstream(tmp_path: Path, site: Site, apt: Apt, security: bool) -> None:
    """The path in its archive is computed, whatever the revision, and of each archive that apt knows."""
    apt.knows(f"{site.url}/debian", f"{site.url}/security")
    path = "/security/pool/updates/main" if security else "/debian/pool/main"
    site.put(f"{path}/t/tool/tool_1.0.orig.tar.xz", GOOD)
    fetch(settings(tmp_path), [Wanted((source(site.put("/tool", GOOD), debian=("tool=1:1.0-7",)),))])
    assert site.asked[-1].startswith(path)


def test_the_likely_source_package_is_asked_first(tmp_path: Path) -> None:
    wanted = source("http://u.example/x", debian=("library=2", "tool=1:1.0-1"))
    mirrors = mirrors_of(settings(tmp_path, "/folder"), wanted, Debian)
    assert [(mirror.label, mirror.address) for mirror in mirrors] == [
        ("your mirror 1", "/folder"),
        ("debian tool", "tool=1:1.0-1"),
        ("debian library", "library=2"),
        ("upstream", "http://u.example/x"),
    ]


def test_debian_truncates_then_upstream_serves(tmp_path: Path, site: Site, apt: Apt) -> None:
    apt.knows(f"{site.url}/debian")
    site.put("/debian/pool/main/t/tool/tool_1.0.orig.tar.xz", GOOD[:9], length=len(GOOD))
    events: list[FetchEvent] = []
    wanted = source(site.put("/tool", GOOD), debian=("tool=1.0-1",))
    fetch(settings(tmp_path), [Wanted((wanted,))], events.append)
    assert [(event.kind, event.mirror) for event in events if event.kind != "bytes"] == [
        ("miss", "debian tool"),
        ("done", "upstream"),
    ]
    assert f"truncated, 9 of {len(GOOD):,} bytes" in next(event.reason for event in events if event.kind == "miss")


FLIPPED = GOOD[:1000] + bytes([GOOD[1000] ^ 1]) + GOOD[1001:]
OTHER = lzma.compress(b"another release")


@pytest.mark.parametrize("data", [GOOD[:1234], FLIPPED, OTHER, b""], ids=["truncated", "flipped", "replaced", "empty"])
def test_a_bad_file_is_named_and_set_aside(tmp_path: Path, site: Site, data: bytes) -> None:
    config = settings(tmp_path, folder_with(tmp_path, data))
    error = failure(config, source(site.url + "/gone"))
    first, mirror, upstream = error.message.splitlines()
    found = hashlib.sha256(data).hexdigest()
    assert first == f"no good copy of {NAME}"
    assert mirror == (
        f"  your mirror 1   sha256 {found[:8]}… ({len(data):,} bytes) differs from the pin {PIN[:8]}… "
        f"(kept in rejected/{kept_name(data)})"
    )
    assert upstream == "  upstream        404 Not Found"
    assert rejected(config) == {kept_name(data): data}
    assert "trust the new file" in error.hint
    assert error.log is not None
    log = Path(error.log).read_text()
    assert PIN in log and found in log and site.url in log


def test_the_other_files_are_fetched_all_the_same(tmp_path: Path) -> None:
    other = source(name="other-2.tar.xz", sha256=hashlib.sha256(OTHER).hexdigest())
    folder = folder_with(tmp_path, FLIPPED)
    (folder / other.name).write_bytes(OTHER)
    config = settings(tmp_path, folder)
    with pytest.raises(SourceError, match="no good copy of tool"):
        fetch(config, [Wanted((source(), other))])
    assert source_path(config, other).exists()


def test_a_transfer_that_breaks_off_is_tried_again_and_reported(tmp_path: Path, site: Site) -> None:
    url = site.put("/tool", GOOD[:5000], length=len(GOOD))
    error = failure(settings(tmp_path), source(url))
    assert f"truncated, 5,000 of {len(GOOD):,} bytes" in error.message
    assert site.asked == ["/tool", "/tool"]


def test_missing_mirrors(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    error = failure(settings(tmp_path, tmp_path / "nowhere", url), source("http://host.invalid/tool"))
    assert f"your mirror 1   no such folder: {tmp_path}/nowhere" in error.message
    assert "your mirror 2   connection refused" in error.message
    assert "upstream        host name not found" in error.message
    assert "MERE_MIRRORS" in error.hint


def test_no_mirror_at_all(tmp_path: Path) -> None:
    assert "packages/tool names no mirror" in failure(settings(tmp_path), source()).message


def test_several_files_fail_in_one_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        fetch(settings(tmp_path), [Wanted((source(), source(name="b.tar", sha256="b" * 64)))])
    assert caught.value.message.count("no good copy of") == 2


def test_a_changed_file_in_the_cache_is_fetched_again(tmp_path: Path, site: Site) -> None:
    config = settings(tmp_path)
    wanted = source(site.put("/tool", GOOD))
    fetch(config, [Wanted((wanted,))])
    path = source_path(config, wanted)
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(FLIPPED)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(SourceError, match="changed in the cache"):
        verified_path(config, wanted)
    fetch(config, [Wanted((wanted,))])
    assert verified_path(config, wanted).read_bytes() == GOOD
    assert rejected(config) == {kept_name(FLIPPED): FLIPPED}


def test_verified_path_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not in the cache") as caught:
        verified_path(settings(tmp_path), source())
    assert caught.value.hint == "python -m mere_helpers fetch packages/tool"


def test_two_fetches_at_once_share(tmp_path: Path, site: Site) -> None:
    config = settings(tmp_path)
    wanted = [Wanted((source(site.put("/tool", GOOD)),))]
    threads = [threading.Thread(target=fetch, args=(config, wanted)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert site.asked == ["/tool"]
    assert source_path(config, wanted[0].sources[0]).read_bytes() == GOOD


def test_leftovers_of_a_killed_fetch_are_in_nobodys_way(tmp_path: Path, site: Site) -> None:
    config = settings(tmp_path)
    leftover = config.sources / "partial" / PIN / NAME
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(GOOD[:10])
    fetch(config, [Wanted((source(site.put("/tool", GOOD)),))])
    assert not leftover.parent.exists()


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "sources").write_text("a file where the folder should be")
    with pytest.raises(SourceError, match="cannot keep tool") as caught:
        fetch(settings(tmp_path), [Wanted((source(),))])
    assert "MERE_SOURCES" in caught.value.hint


def test_ctrl_c_ends_the_fetch(tmp_path: Path, site: Site) -> None:
    def interrupt(event: FetchEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(settings(tmp_path), [Wanted((source(site.put("/tool", GOOD)),))], interrupt)


def test_ctrl_c_waits_for_no_mirror(tmp_path: Path, site: Site) -> None:
    asked, over = threading.Event(), threading.Event()
    site.pages["/tool"] = lambda _: (asked.set(), over.wait(30))
    heard: list[FetchEvent] = []

    def interrupt() -> None:
        asked.wait(10)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            fetch(settings(tmp_path), [Wanted((source(site.url + "/tool"),))], heard.append)
    finally:
        over.set()
    assert time.monotonic() - began < 5
    assert [(event.kind, event.bytes) for event in heard] == [("bytes", 0)], "it is told that something is under way"


def test_who_waits_for_another_fetch_can_be_stopped(tmp_path: Path) -> None:
    errand = _Errand(settings(tmp_path), None)
    with ThreadPoolExecutor() as pool, errand.hold(source()):
        waiting = pool.submit(errand.bring, source())
        errand.stop.set()
        assert str(waiting.exception(timeout=5)) == "interrupted"


def test_a_line_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("cached", "bytes", "miss", "done", "failed"):
        print_progress(FetchEvent(kind, NAME, "upstream", 2048, reason="404"))
    out = io.StringIO(capsys.readouterr().err).readlines()
    assert [line.split()[0] for line in out] == [f"{NAME}:", "fetched", "FAILED"]


def test_one_bad_copy_of_a_file_is_kept_the_last_one(tmp_path: Path, site: Site) -> None:
    config = settings(tmp_path, folder_with(tmp_path, OTHER))
    other = config.sources / "rejected" / "another.tar.1234abcd"
    other.parent.mkdir(parents=True)
    other.touch()
    message = failure(config, source(site.put("/tool", FLIPPED))).message
    assert rejected(config) == {kept_name(FLIPPED): FLIPPED, other.name: b""}
    assert message.count("kept in rejected") == 1, "a copy that is not there any more is not promised"
    site.put("/tool", b"<html>")
    failure(config, source(site.url + "/tool"))
    assert set(rejected(config)) == {kept_name(b"<html>"), other.name}


def test_a_very_large_bad_copy_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(LARGEST_KEPT + 1)
    errand = _Errand(settings(tmp_path), None)
    assert errand._keep(source(), path, PIN) == ""
    assert not path.exists() and not (tmp_path / "sources/rejected").exists()


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("https://me:secret@host/path", "https://…@host/path"),
        ("https://me@host", "https://…@host"),
        ("ftp:/me:secret@host", "ftp:/…@host"),
        ("http://me:a/b @c@host/x", "http://…@host/x"),
        ("https://host/path", "https://host/path"),
        ("/a/folder@home", "/a/folder@home"),
        ("tool=1:1.0-1", "tool=1:1.0-1"),
    ],
)
def test_an_address_is_shown_without_user_and_password(address: str, seen: str) -> None:
    assert shown(address) == seen
