"""Hostile mirrors and substitute servers: none exhausts the machine, hangs, or gets a wrong file accepted.

Limits are short here; what they are for a reader is in `mere_helpers.fetching.pace`.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mere_helpers.config import Config
from mere_helpers.errors import MereError, StoreError
from mere_helpers.fetching.cache import FetchEvent, fetch, source_path
from mere_helpers.fetching.pace import Limits
from mere_helpers.planning.recipe import Source
from mere_helpers.store.signed_index import INDEX, LARGEST
from mere_helpers.store.store import Entry, Store
from mere_helpers.store.substitutes import Substitutes, export

from ..packing import pack, publish
from .servers import Behaviour, Line, Memory, Server, own_certificate, size_of

MIB = 1 << 20
LIMITS = Limits(size=4 * MIB, rate=20_000, window=0.5, total=2)

#: For servers that are not slow, so that a busy machine does not make them so.
PATIENT = replace(LIMITS, window=60, total=90)

#: Seconds after which something hangs; on a quiet machine each attack ends in a fraction of it.
HANGS = 120

#: Bytes of memory that no attack may take; an index of the largest size is there three times while it is verified.
MEMORY = 96 * MIB

GOOD = lzma.compress(os.urandom(60_000))
KEY, OTHER = "a" * 64, "b" * 64
BLOCK = bytes(65536)


@dataclass
class Tally:
    """What was tried, and what came of it."""

    tried: int = 0
    exhausted: int = 0
    wrong: int = 0
    peak: int = 0

    def attack(self, attack: Callable[[], Any], folder: Path, *, disk: int = 4 * LIMITS.size) -> Any:
        """Run an attack; it must end, in bounds of memory and disk, with a result or an error of the library."""
        self.tried += 1
        self.exhausted += 1
        outcome: list[Any] = []

        def run() -> None:
            try:
                outcome.append(attack())
            except BaseException as error:
                outcome.append(error)

        with Memory() as memory:
            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            thread.join(HANGS)
        self.peak = max(self.peak, memory.peak)
        assert outcome, "it hangs"
        assert memory.peak < MEMORY
        assert size_of([folder]) < disk
        self.exhausted -= 1
        if isinstance(outcome[0], BaseException) and not isinstance(outcome[0], MereError):
            raise outcome[0]
        return outcome[0]

    def expect(self, right: bool, what: str) -> None:
        """Count a wrong file that was accepted."""
        self.wrong += not right
        assert right, what


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    found = Tally()
    yield found
    if found.tried > 1:
        request.config.get_terminal_writer().line(
            f"\nhostile servers: {found.tried} tried, {found.exhausted} exhausted or hung, {found.wrong} wrong files; "
            f"at most {found.peak / MIB:.0f} MiB of memory"
        )


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


# ---- mirrors


def drip(*data: bytes) -> Behaviour:
    return lambda line: line.for_ever(*data, pause=0.05)


def start(text: str, *then: bytes, pause: float = 0.0) -> Behaviour:
    """Send a text, and then something for ever; nothing is silence."""

    def behave(line: Line) -> None:
        line.send(text)
        line.for_ever(*then, pause=pause or (0 if then else 1)) if then else time.sleep(HANGS)

    return behave


def once(body: bytes = b"", **options: Any) -> Behaviour:
    return lambda line: line.reply(body, **options)


def redirect(target: str, **options: Any) -> Behaviour:
    return lambda line: line.reply(status="302 Found", Location=target.format(url=line.url), **options)


def another_each_time() -> Behaviour:
    numbers = count()
    return lambda line: line.reply(status="301 Moved", Location=f"{line.url}/{next(numbers)}")


def slow_redirects(line: Line) -> None:
    time.sleep(0.4)
    line.reply(status="307 Later", Location="/" + line.path.strip("/") + "x")


def redirect_with_endless_body(line: Line) -> None:
    line.send(f"HTTP/1.1 302 Found\r\nLocation: {line.url}/x\r\n\r\n")
    line.for_ever(BLOCK)


def cut_off(line: Line) -> None:
    line.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(GOOD)}\r\n\r\n")
    line.send(GOOD[:5000])
    line.reset()


def half_closed(line: Line) -> None:
    line.send("HTTP/1.1 200 OK\r\nContent-Le")
    line.connection.shutdown(socket.SHUT_WR)
    time.sleep(HANGS)


def stalls_before_the_last_byte(line: Line) -> None:
    line.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(GOOD)}\r\n\r\n")
    line.send(GOOD[:-1])
    time.sleep(HANGS)


def good_and_more(line: Line) -> None:
    line.send("HTTP/1.1 200 OK\r\n\r\n")
    line.send(GOOD)
    line.for_ever(BLOCK)


def faint_then_endless() -> Behaviour:
    """Breaks off at the first time, so that it is asked again."""
    numbers = count()

    def behave(line: Line) -> None:
        if next(numbers) == 0:
            line.reply(GOOD[:100], length=len(GOOD))
        else:
            line.send("HTTP/1.1 200 OK\r\n\r\n")
            line.for_ever(BLOCK)

    return behave


def just_too_slow(line: Line) -> None:
    """A little less than the least rate, in pieces."""
    line.send("HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n")
    line.for_ever(bytes(1500), pause=0.1)


def just_fast_enough(line: Line) -> None:
    """More than the least rate: it is the whole time that ends it."""
    line.send("HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n")
    line.for_ever(bytes(30_000), pause=0.1)


FLIPPED = GOOD[:1000] + bytes([GOOD[1000] ^ 1]) + GOOD[1001:]
GREEDY = lzma.compress(b"x" * 1000, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 30}])
BOMBS = {
    "bz2": bz2.compress(bytes(300 * MIB), 9),
    "gz": gzip.compress(bytes(300 * MIB), 9),
    "xz": lzma.compress(bytes(300 * MIB), preset=1),
}
OK = "HTTP/1.1 200 OK\r\n"
CHUNKED = OK + "Transfer-Encoding: chunked\r\n\r\n"
LARGE = "more than the limit of 4,194,304 bytes"
SLOW = "slower than 20,000 bytes/s over 0.5 s"
BROKE = "the transfer broke off"
PIN = "differs from the pin"

endless_gzip = start(OK + "Content-Encoding: gzip\r\n\r\n", gzip.compress(bytes(4 * MIB), 9))

MIRRORS: dict[str, tuple[Behaviour, str]] = {
    # Without end.
    "endless body": (start(OK + "\r\n", BLOCK), LARGE),
    "endless body in chunks": (start(CHUNKED, b"10000\r\n" + BLOCK + b"\r\n"), LARGE),
    "endless body in chunks of one byte": (start(CHUNKED, b"1\r\nx\r\n" * 5000), f"{LARGE}|{SLOW}|took longer"),
    "endless chunk": (start(CHUNKED + "fffffffffff\r\n", BLOCK), LARGE),
    "endless size of a chunk": (start(CHUNKED, b"0" * 65536), BROKE),
    "endless extension of a chunk": (start(CHUNKED + "1;", b"x" * 65536), BROKE),
    "endless trailers": (start(CHUNKED + "0\r\n", b"A: b\r\n" * 5000), SLOW),
    "endless headers": (start(OK, b"A: b\r\n"), BROKE),
    "endless header": (start(OK + "A: ", b"x" * 65536), BROKE),
    "endless folded header": (start(OK + "A: b\r\n", b" c\r\n"), BROKE),
    "endless status": (start("HTTP/1.1 200 ", b"x" * 65536), BROKE),
    "endless 100 Continue": (start("", b"HTTP/1.1 100 Continue\r\n\r\n"), SLOW),
    "endless body of a redirect": (redirect_with_endless_body, "redirects more than 10 times"),
    "endless body of an error": (start("HTTP/1.1 503 No\r\n\r\n", BLOCK), "503 No"),
    "endless body of a 404": (start("HTTP/1.1 404 No\r\n\r\n", BLOCK), "404 No"),
    "the good file and more": (good_and_more, LARGE),
    "a second try that does not end": (faint_then_endless(), LARGE),
    "cookies without end": (start(OK, b"Set-Cookie: a=b\r\n" * 1000), BROKE),
    # Slow.
    "dripping body": (start(OK + "Content-Length: 9999\r\n\r\n", b"x", pause=0.05), SLOW),
    "dripping chunks": (start(CHUNKED, b"1\r\n", b"x\r\n", pause=0.05), SLOW),
    "dripping headers": (start(OK, b"A: b\r\n", pause=0.05), SLOW),
    "dripping status": (drip(b"H"), SLOW),
    "dripping redirects": (slow_redirects, f"redirects more than|{SLOW}"),
    "silence": (start(""), SLOW),
    "silence after the headers": (start(OK + "\r\n"), SLOW),
    "silence before the last byte": (stalls_before_the_last_byte, SLOW),
    "a little too slow": (just_too_slow, SLOW),
    "just fast enough, for too long": (just_fast_enough, "took longer than 2 s"),
    "half closed": (half_closed, f"{BROKE}|{PIN}"),
    # Round and round.
    "redirect to itself": (redirect("{url}/x"), "redirects more than 10 times"),
    "always another redirect": (another_each_time(), "redirects more than 10 times"),
    "redirect to a file": (redirect("file:///etc/passwd"), "its address is not one of the web"),
    "redirect to nonsense": (redirect("http://[::1"), "its address is not valid|broke off"),
    "redirect to no host": (redirect("http://.../x"), "its address is not valid|host name not found|broke off"),
    "redirect to a port that is none": (redirect("http://127.0.0.1:99999/x"), "its address is not valid|broke off"),
    "redirect in no alphabet": (redirect("/\xff\xfe\x01"), "redirects more than|400|broke off"),
    "come again in a day": (once(status="503 Later", Retry_After="86400"), "503 Later"),
    "too many requests": (once(status="429 Slowly", Retry_After="86400"), "429 Slowly"),
    # Lies.
    "an enormous length": (once(GOOD, length=9 * 10**17), "announces 900,000,000,000,000,000 bytes, more than"),
    "a negative length": (once(b"x", length=-5), PIN),
    "a length of 5000 digits": (once(b"x", length="9" * 5000), f"{PIN}|{BROKE}"),
    "a length in a digit that is none": (once(b"x", length="\xb2"), PIN),
    "two lengths": (once(b"xx", length="1, 2"), f"{PIN}|{BROKE}"),
    "too short a body": (once(GOOD[:5000], length=len(GOOD)), "truncated, 5,000 of"),
    "chunks that are none": (start(CHUNKED + "zz\r\n\r\n"), f"{BROKE}|{SLOW}"),
    "a negative chunk": (lambda line: line.send(CHUNKED + "-5\r\nhello\r\n0\r\n\r\n"), f"{BROKE}|{PIN}"),
    "no HTTP": (lambda line: line.send(os.urandom(5000)), f"{BROKE}|{PIN}"),
    "only a part": (once(GOOD[:100], status="206 Partial Content"), "206 Partial Content"),
    "signs for the terminal": (once(status="404 \x1b[2J\x07gone"), r"404 \[2Jgone"),
    # Broken.
    "closed at once": (lambda line: None, BROKE),
    "reset at once": (Line.reset, BROKE),
    "reset in the middle": (cut_off, BROKE),
    # Wrong files.
    "an empty file": (once(b""), rf"sha256 .* \(0 bytes\) {PIN}"),
    "a page": (once(b"<!DOCTYPE html><p>Log in"), PIN),
    "one byte changed": (once(FLIPPED), PIN),
    "another file": (once(lzma.compress(b"another")), f"sha256 .* {PIN}"),
    "a bomb of gzip as a transfer": (once(BOMBS["gz"], Content_Encoding="gzip"), PIN),
    "an endless bomb of gzip as a transfer": (endless_gzip, LARGE),
    "a bomb of xz": (once(BOMBS["xz"]), PIN),
    "xz that asks for a lot of memory": (once(GREEDY), PIN),
}

FILES = {
    "a bomb of bzip2": ("tool.tar.bz2", BOMBS["bz2"]),
    "a bomb of gzip": ("tool.tar.gz", BOMBS["gz"]),
}


@dataclass(frozen=True)
class Wanted:
    sources: tuple[Source, ...]


def settings(tmp_path: Path, *mirrors: str) -> Config:
    return Config(tmp_path, tmp_path / "store", tmp_path / "sources", mirrors=mirrors)


def limits_for(reason: str) -> Limits:
    """Short ones where they are what ends it."""
    return LIMITS if SLOW in reason or "took longer" in reason else PATIENT


def try_mirror(tally: Tally, tmp_path: Path, url: str, name: str = "tool.tar.xz", limits: Limits = PATIENT) -> str:
    """Ask a hostile mirror, and then a good one; return why the first was of no use."""
    good = tmp_path / "good"
    good.mkdir()
    (good / name).write_bytes(GOOD)
    config = settings(tmp_path, url, str(good))
    source = Source(name=name, url=None, sha256=hashlib.sha256(GOOD).hexdigest(), debian=(), recipe="packages/tool")
    events: list[FetchEvent] = []
    outcome = tally.attack(lambda: fetch(config, [Wanted((source,))], events.append, limits), config.sources)
    assert not isinstance(outcome, MereError), outcome
    tally.expect(source_path(config, source).read_bytes() == GOOD, "a wrong file was accepted")
    (miss,) = [event for event in events if event.kind == "miss"]
    assert [event.mirror for event in events if event.kind == "done"] == ["your mirror 2"]
    assert miss.reason.isprintable()
    assert len(list((config.sources / "rejected").glob("*"))) <= 1
    return miss.reason


@pytest.mark.parametrize("name", MIRRORS)
def test_after_a_hostile_mirror_the_next_one_is_asked(tally: Tally, tmp_path: Path, name: str) -> None:
    behave, reason = MIRRORS[name]
    with Server(behave) as server:
        assert re.search(reason, found := try_mirror(tally, tmp_path, server.url, limits=limits_for(reason))), found


@pytest.mark.parametrize("name", FILES)
def test_a_rejected_archive_is_not_unpacked_to_its_end(tally: Tally, tmp_path: Path, name: str) -> None:
    file, data = FILES[name]
    with Server(once(data)) as server:
        assert re.search(PIN, try_mirror(tally, tmp_path, server.url, file))


def test_a_mirror_that_does_not_read(tally: Tally, tmp_path: Path) -> None:
    with Server(lambda line: time.sleep(HANGS), read=False) as server:
        assert SLOW in try_mirror(tally, tmp_path, server.url, limits=LIMITS)


@pytest.mark.parametrize("data", [b"\x16\x03\x03\x40\x00", b"HTTP/1.1 200 OK\r\n\r\n", b"\x00"], ids=repr)
def test_tls_that_is_none(tally: Tally, tmp_path: Path, data: bytes) -> None:
    with Server(drip(data), read=False) as server:
        reason = try_mirror(tally, tmp_path, server.url.replace("http:", "https:"), limits=LIMITS)
    assert re.search(f"the TLS connection failed|{SLOW}|{BROKE}", reason), reason


@pytest.mark.parametrize("name", ["the file", "dripping"])
def test_a_certificate_that_nobody_has_signed(tally: Tally, tmp_path: Path, name: str) -> None:
    with Server(once(GOOD) if name == "the file" else drip(b"x"), own_certificate(tmp_path)) as server:
        assert "its certificate is not trusted" in try_mirror(tally, tmp_path, server.url)


@pytest.mark.parametrize("name", ["endless", "dripping"])
def test_a_trusted_host_has_the_same_limits(
    tally: Tally, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    context = own_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    behave = start(OK + "\r\n", BLOCK) if name == "endless" else start(OK, b"A: b\r\n", pause=0.05)
    with Server(behave, context) as server:
        reason = try_mirror(tally, tmp_path, server.url, limits=LIMITS)
    assert re.search(f"{LARGE}|{SLOW}|its certificate", reason), reason


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize(
    ("make", "reason"), [(_pipe, "not a regular file"), (_device, "not a regular file"), (_large, LARGE)]
)
def test_a_hostile_folder(tally: Tally, tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    (tmp_path / "hostile").mkdir()
    make(tmp_path / "hostile/tool.tar.xz")
    assert reason in try_mirror(tally, tmp_path, str(tmp_path / "hostile"))


def test_a_password_reaches_neither_log_nor_message_nor_another_host(tmp_path: Path) -> None:
    asked: list[bytes] = []
    with Server(lambda line: asked.append(line.connection.recv(9999)), read=False) as other:
        target = other.url.replace("127.0.0.1", "localhost") + "/x"
        with Server(once(status="302 Found", Location=target)) as server:
            url = server.url.replace("//", "//me:s3cret@")
            wanted = Source(name="a.tar", url=None, sha256="a" * 64, debian=(), recipe="packages/a")
            config = settings(tmp_path, url, url.replace("http", "ftp"), "http://me:s3/cr et@127.0.0.1:9")
            events: list[FetchEvent] = []
            with pytest.raises(MereError) as caught:
                fetch(config, [Wanted((wanted,))], events.append, PATIENT)
    told = f"{caught.value}{caught.value.__cause__}{events}{config!r}" + Path(caught.value.log or "").read_text()
    assert "s3" not in told and "cret" not in told
    assert "127.0.0.1" in told
    assert asked and all(b"authorization" not in text.lower() for text in asked)


_FETCHING = """
import sys
from pathlib import Path
from mere_helpers.config import Config
from mere_helpers.fetching.cache import fetch
from mere_helpers.planning.recipe import Source
class Wanted:
    sources = tuple(Source(name, None, name * 64, (), "packages/a") for name in "abcdef")
config = Config(Path(sys.argv[1]), Path(sys.argv[1], "store"), Path(sys.argv[1], "sources"), mirrors=(sys.argv[2],))
fetch(config, [Wanted])
"""


@pytest.mark.parametrize("name", ["silence", "dripping status", "dripping headers", "dripping body"])
def test_ctrl_c_ends_the_interpreter(tally: Tally, tmp_path: Path, name: str) -> None:
    """With the usual limits, by which the mirror would have a minute."""
    asked = threading.Event()

    def behave(line: Line) -> None:
        asked.set()
        MIRRORS[name][0](line)

    def attack() -> int:
        with Server(behave) as server:
            command = [sys.executable, "-c", _FETCHING, tmp_path, server.url]
            environment = os.environ | {"PYTHONPATH": os.getcwd()}
            with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment) as process:
                assert asked.wait(HANGS)
                process.send_signal(signal.SIGINT)
                return process.wait(30)

    assert tally.attack(attack, tmp_path) == -signal.SIGINT


# ---- substitutes


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    def fill(folder: Path) -> dict:
        (folder / "out/hello").write_bytes(os.urandom(50_000))
        return {"wall_s": 1.0}

    return Store(Config(tmp_path, tmp_path / "maker", tmp_path)).add("packages/a", KEY, {}, fill)


@pytest.fixture
def place(tmp_path: Path, entry: Entry) -> Path:
    return tmp_path / "place"


@pytest.fixture
def public(tmp_path: Path, place: Path, entry: Entry) -> str:
    return export(Config(tmp_path, tmp_path / "maker", tmp_path), [entry], place)


def serve(place: Path, path: str, behave: Behaviour) -> Behaviour:
    """A place whose one file is not as it should be."""

    def answer(line: Line) -> None:
        file = place / line.path[1:]
        if file.name != path and file.is_file():
            return line.reply(file.read_bytes())
        return behave(line)

    return answer


def nested(line: Line) -> None:
    line.reply(b"[" * LARGEST)


def many_lists(line: Line) -> None:
    line.reply(b'{"signature": "' + b"A" * 86 + b'==", "payload": [' + b"[]," * (4 * MIB) + b"[]]}")


def too_large(line: Line) -> None:
    line.reply(b" " * (LARGEST + 1))


INDEXES: dict[str, tuple[Behaviour, str]] = {
    **{
        name: MIRRORS[name]
        for name in (
            *("endless body", "endless body in chunks", "endless chunk", "endless size of a chunk", "endless headers"),
            *("endless header", "endless 100 Continue", "endless body of a redirect", "endless body of an error"),
            *("dripping body", "dripping headers", "dripping status", "silence", "silence after the headers"),
            *("redirect to itself", "redirect to a file", "come again in a day", "an enormous length", "no HTTP"),
            *("closed at once", "reset at once", "a length of 5000 digits", "half closed", "endless trailers"),
        )
    },
    "an endless bomb of gzip": (endless_gzip, LARGE),
    "a bomb of gzip": (once(BOMBS["gz"], Content_Encoding="gzip"), "is not signed"),
    "lists in lists in lists": (nested, "more than the limit"),
    "a million lists without a signature": (many_lists, "more than the limit"),
    "larger than an index may be": (too_large, "more than the limit"),
    "nothing": (once(b""), "is not signed"),
    "a page": (once(b"<!DOCTYPE html>"), "is not signed"),
    "none": (once(status="404 Not Found"), "404 Not Found"),
    "a signature that is none": (once(b'{"signature": "' + b"A" * 86 + b'==", "payload": {}}'), "is not signed"),
    "the index of before": (once(b'{"a": {"id": "packages/a", "sha256": "0"}}'), "is not signed"),
}

#: An index may be as large as it may for a reader; the short limit is for sources.
ROOM = replace(PATIENT, size=LARGEST)


def take(tally: Tally, tmp_path: Path, public: str, url: str, limits: Limits = PATIENT) -> str:
    """Try to unpack from a hostile place; return the error's message."""
    config = Config(tmp_path, tmp_path / "taker", tmp_path, substitutes=url, substitutes_key=public)
    folder = tmp_path / "unpacked"
    folder.mkdir()
    outcome = tally.attack(lambda: Substitutes(config, limits=limits).unpack(KEY, folder), folder)
    tally.expect(isinstance(outcome, StoreError), f"{outcome} is no refusal")
    assert not (folder / "out").exists()
    return outcome.message


@pytest.mark.parametrize("name", INDEXES)
def test_a_hostile_index(tally: Tally, tmp_path: Path, place: Path, public: str, name: str) -> None:
    behave, reason = INDEXES[name]
    with Server(serve(place, INDEX, behave)) as server:
        message = take(tally, tmp_path, public, server.url, limits_for(reason))
    # What has no signature is refused, however it looked.
    assert re.search(f"{reason}|is not signed", message), message


@pytest.mark.parametrize("name", ["lists in lists in lists", "a million lists without a signature"])
def test_an_index_is_not_parsed_before_its_signature(
    tally: Tally, tmp_path: Path, place: Path, public: str, name: str
) -> None:
    with Server(serve(place, INDEX, INDEXES[name][0])) as server:
        assert "is not signed" in take(tally, tmp_path, public, server.url, ROOM)


ARCHIVES: dict[str, tuple[Behaviour, str]] = {
    name: (behave, reason)
    for name, (behave, reason) in {
        "endless body": (MIRRORS["endless body"][0], "more than the limit"),
        "endless body in chunks": (MIRRORS["endless body in chunks"][0], "more than the limit"),
        "dripping body": (start(OK + "\r\n", b"x", pause=0.05), SLOW),
        "dripping headers": MIRRORS["dripping headers"],
        "one byte more than was signed": (once(bytes(60_000)), "more than the limit"),
        "one byte changed": (once(b"x" * 100), "is not the one that was signed"),
        "too short a body": (once(b"x" * 100, length=200), "truncated, 100 of 200 bytes"),
        "nothing": (once(b""), "is not the one that was signed"),
        "none": (once(status="404 Not Found"), "404 Not Found"),
        "a bomb of gzip": (once(BOMBS["gz"], Content_Encoding="gzip"), "more than the limit"),
        "reset in the middle": (cut_off, "broke off|more than the limit"),
    }.items()
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_hostile_archive(tally: Tally, tmp_path: Path, place: Path, public: str, name: str) -> None:
    behave, reason = ARCHIVES[name]
    with Server(serve(place, f"{KEY}.tar.zst", behave)) as server:
        assert re.search(reason, message := take(tally, tmp_path, public, server.url, limits_for(reason))), message
    assert size_of([tmp_path / "unpacked"]) < 60_000, "no more is kept than was signed"


def test_a_replayed_index(tally: Tally, tmp_path: Path, place: Path, public: str, entry: Entry) -> None:
    old = (place / INDEX).read_bytes()
    export(Config(tmp_path, tmp_path / "maker", tmp_path), [], place)
    config = Config(tmp_path, tmp_path / "taker", tmp_path, substitutes=str(place), substitutes_key=public)
    assert Store(config).offered(KEY) is None, "it was taken back"
    with Server(serve(place, INDEX, once(old))) as server:
        assert "an old index may offer what was taken back since" in take(tally, tmp_path, public, server.url)


@pytest.mark.parametrize(
    "payload",
    [
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"serial": -1, "date": 1, "offers": {}}',
        b'{"serial": true, "date": 1, "offers": {}}',
        b'{"serial": 1e400, "date": NaN, "offers": {}}',
        b'{"serial": 9' + b"9" * 6000 + b', "date": 1, "offers": {}}',
        b'{"serial": 1, "date": 1, "offers": []}',
        b'{"serial": 1, "date": 1, "offers": {"k": {"id": "a"}}}',
        b'{"serial": 1, "date": 1, "offers": {"k": {"id": 1, "sha256": 2, "size": 3, "unpacked": 4, '
        b'"output_digest": 5}}}',
        b"\xff\xfe",
    ],
    ids=lambda payload: payload[:60].decode("latin-1"),
)
def test_a_signed_index_that_is_none(tally: Tally, tmp_path: Path, payload: bytes) -> None:
    private = Ed25519PrivateKey.generate()
    (tmp_path / "place").mkdir()
    public = publish(tmp_path / "place", private, {})
    signature = base64.b64encode(private.sign(payload))
    data = b'{"signature": "' + signature + b'", "payload": ' + payload + b"}"
    with Server(once(data)) as server:
        assert "is not signed" in take(tally, tmp_path, public, server.url)


def tar(*members: tuple[str, bytes, str | bytes], **also: Any) -> bytes:
    """An archive: of each member its name, its type, and its contents or where it leads."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, what in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, 0o755
            if isinstance(what, str):
                member.linkname = what
                archive.addfile(member)
            else:
                member.size = len(what)
                archive.addfile(member, io.BytesIO(what))
    return out.getvalue()


def with_hole() -> bytes:
    """GNU's sparse format: a file of a tebibyte, of which the archive has nothing."""
    member = tarfile.TarInfo("out/large")
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[483:495] = b"%011o\0" % (1 << 32)
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    return tar(("out", tarfile.DIRTYPE, b""))[:512] + bytes(header) + bytes(1024)


META = json.dumps({name: {} for name in ("id", "key", "measures", "output_digest", "outputs", "links", "folders")})
OUT = ("out", tarfile.DIRTYPE, b"")

SIGNED: dict[str, tuple[Callable[[Path], bytes], dict[str, Any], str]] = {
    "a bomb": (lambda _: tar(OUT, ("out/a", tarfile.REGTYPE, bytes(200 * MIB))), {"unpacked": MIB}, "unpacks to more"),
    "a hole": (lambda _: with_hole(), {}, "unpacks to more"),
    "outputs elsewhere": (lambda v: tar(("out", tarfile.SYMTYPE, str(v))), {}, "a file that no build has: out"),
    "outputs elsewhere, twice": (
        lambda v: tar(OUT, ("out/.", tarfile.SYMTYPE, str(v))),
        {},
        "a file that no build has|outside",
    ),
    "a description elsewhere": (
        lambda v: tar(OUT, ("meta.json", tarfile.SYMTYPE, "/etc/passwd")),
        {},
        "a file that no build has: meta.json",
    ),
    "the archive in the archive": (
        lambda _: tar(OUT, ("archive", tarfile.REGTYPE, b"x")),
        {},
        "a file that no build has: archive",
    ),
    "a device": (lambda _: tar(OUT, ("out/disk", tarfile.BLKTYPE, "")), {}, "a file that no build has"),
    "a pipe": (lambda _: tar(OUT, ("out/pipe", tarfile.FIFOTYPE, "")), {}, "a file that no build has"),
    "folders in folders": (
        lambda _: tar(OUT, ("out/" + "a/" * 1000 + "b", tarfile.REGTYPE, b"x")),
        {},
        "a file that no build has",
    ),
    "a name that is too long": (
        lambda _: tar(OUT, ("out/" + "a" * 1000, tarfile.REGTYPE, b"x")),
        {},
        "cannot be unpacked|File name too long",
    ),
    "a file as a folder": (
        lambda _: tar(OUT, ("out/a", tarfile.REGTYPE, b"x"), ("out/a/b", tarfile.REGTYPE, b"x")),
        {},
        "cannot be unpacked",
    ),
    "no archive": (lambda _: os.urandom(5000), {}, "cannot be unpacked"),
    "half an archive": (lambda _: tar(OUT, ("out/a", tarfile.REGTYPE, bytes(9999)))[:3000], {}, "unpacks to more"),
    "nothing": (lambda _: b"", {}, "cannot be unpacked"),
    "no description": (lambda _: tar(OUT), {}, "cannot be unpacked"),
    "a description that is none": (
        lambda _: tar(OUT, ("meta.json", tarfile.REGTYPE, b"{")),
        {},
        "cannot be unpacked",
    ),
    "a description in a description": (
        lambda _: tar(OUT, ("meta.json", tarfile.REGTYPE, b"[" * 100_000)),
        {},
        "cannot be unpacked",
    ),
    "a description of nothing": (
        lambda _: tar(OUT, ("meta.json", tarfile.REGTYPE, b"[]")),
        {},
        "is not what it says",
    ),
    "a description of something else": (
        lambda _: tar(OUT, ("meta.json", tarfile.REGTYPE, META.encode())),
        {},
        "is not what it says",
    ),
    "a negative size": (lambda _: tar(OUT), {"size": -1}, "is not signed"),
}


@pytest.mark.parametrize("name", SIGNED)
def test_a_hostile_archive_that_is_signed(tally: Tally, tmp_path: Path, name: str) -> None:
    make, claims, reason = SIGNED[name]
    victim, place = tmp_path / "victim", tmp_path / "place"
    victim.mkdir()
    place.mkdir()
    (victim / "file").write_text("mine")
    (victim / "file").chmod(0o644)
    public = publish(place, Ed25519PrivateKey.generate(), {KEY: pack(place, KEY, make(victim), **claims)})
    config = Config(tmp_path, tmp_path / "taker", tmp_path, substitutes=str(place), substitutes_key=public)
    store = Store(config)
    outcome = tally.attack(lambda: store.take("packages/a", KEY), config.store)
    tally.expect(isinstance(outcome, StoreError), f"{outcome} is no refusal")
    tally.expect(store.find(KEY) is None, "it is in the store")
    assert re.search(reason, outcome.message), outcome.message
    assert not list((config.work / "entries").glob("*")), "nothing is left behind"
    assert [(path.name, path.stat().st_mode & 0o777) for path in victim.iterdir()] == [("file", 0o644)]


def test_a_stop_ends_a_dripping_substitute(tally: Tally, tmp_path: Path, place: Path, public: str) -> None:
    """With the usual limits, by which the server would have a minute."""
    stop = threading.Event()

    def behave(line: Line) -> None:
        stop.set()
        MIRRORS["dripping headers"][0](line)

    with Server(behave) as server:
        config = Config(tmp_path, tmp_path / "taker", tmp_path, substitutes=server.url, substitutes_key=public)
        outcome = tally.attack(lambda: Substitutes(config, stop).output_digest(KEY), config.store)
    assert isinstance(outcome, StoreError) and "interrupted" in outcome.message
