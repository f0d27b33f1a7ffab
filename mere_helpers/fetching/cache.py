"""The cache of source files: each is fetched once, verified against its pin, and kept under its sha256."""

from __future__ import annotations

import glob
import shutil
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event as Flag
from threading import Lock, Thread
from typing import Literal, NamedTuple

from ..config import Config
from ..errors import SourceError
from ..files import sha256 as _sha256
from ..files import sync
from ..locks import lock
from ..marker import SOURCES, mark
from ..planning.recipe import Recipe, Source
from ..text import size
from .address import shown
from .debian import Debian, ask_apt
from .mirrors import bring, mirrors_of
from .pace import TICK, USUAL, Limits, TransferError

#: Files that are fetched, or hashed, at the same time.
WORKERS = 6

#: Bytes of the largest bad copy that is kept.
LARGEST_KEPT = 256 << 20

#: In the reason, where a bad copy is.
_KEPT = " (kept in rejected/"

#: Seconds that the threads have to end in after a stop.
_GRACE = 1.0


@dataclass(frozen=True)
class FetchEvent:
    """Something that happened to one file: ``cached`` (was there and is good), ``bytes`` (more has come), ``miss``
    (this mirror failed), ``done``, ``failed`` (no mirror is left).

    The last word about a file is ``cached``, ``done`` or ``failed``. `bytes` have come so far, of `total` where that is
    known; `mirror` is the label of the mirror; `reason` says why, for ``miss`` and ``failed``.
    """

    kind: Literal["cached", "bytes", "miss", "done", "failed"]
    name: str
    mirror: str = ""
    bytes: int = 0
    total: int | None = None
    reason: str = ""


Progress = Callable[[FetchEvent], None]
_Result = tuple[Source, int | BaseException]


class FetchedFile(NamedTuple):
    """A file in the cache, verified: its name, its size in bytes, and its sha256, which is the pin."""

    name: str
    size: int
    sha256: str


def source_path(config: Config, source: Source) -> Path:
    """Where the cache keeps a file: under its sha256, so that equal names never meet. It need not be there yet."""
    return config.sources / source.sha256 / source.name


def fetch(
    config: Config, recipes: Iterable[Recipe], progress: Progress | None = None, limits: Limits = USUAL
) -> list[FetchedFile]:
    """Bring every source file of the recipes into the cache, verified; they are returned by name.

    Files in the cache are hashed again: a changed one is set aside and fetched anew. `progress` is called with each
    `FetchEvent`, never by two threads at once. The limits are for each file from each mirror.

    Raises
    ------
    SourceError
        No mirror had a file, or every copy found differed from its pin. The message lists each mirror with its
        reason; of each file, the last copy that differed is kept in the cache's ``rejected`` folder. The other files
        are fetched all the same.
    """
    wanted = {(source.name, source.sha256): source for recipe in recipes for source in recipe.sources}
    errand = _Errand(config, progress, limits)
    problems: dict[str, SourceError] = {}
    fetched = []
    # Big files tend to be near the start of the alphabet (binutils, gcc); they start first.
    with closing(errand.results([wanted[key] for key in sorted(wanted)])) as results:
        for source, result in results:
            if isinstance(result, SourceError):
                problems[source.name] = result
            elif isinstance(result, BaseException):
                raise result
            else:
                fetched.append(FetchedFile(source.name, result, source.sha256))
    if problems:
        first, *others = [problems[name] for name in sorted(problems)]
        message = "\n".join(error.message for error in (first, *others))
        raise SourceError(message, hint=first.hint, log=errand.write_log())
    return sorted(fetched)


def verified_path(config: Config, source: Source) -> Path:
    """The cached file, hashed at this moment; a SourceError if it is missing, or is not what was pinned."""
    path = source_path(config, source)
    command = f"python -m mere_helpers fetch {source.recipe}"
    if not path.is_file():
        raise SourceError(f"{source.name} is not in the cache of sources", hint=command)
    if (found := _sha256(path)) != source.sha256:
        raise SourceError(
            f"{source.name} has changed in the cache: sha256 {found[:8]}… differs from the pin {source.sha256[:8]}…",
            hint=f"{command}   # sets it aside and brings a good copy",
        )
    return path


def print_progress(event: FetchEvent) -> None:
    """Print a line a file to standard error, for runs without a front end."""
    lines = {
        "done": f"fetched {event.name} ({size(event.bytes)}, {event.mirror})",
        "miss": f"        {event.name}: {event.mirror}: {event.reason}",
        "failed": f"FAILED  {event.name}",
    }
    if event.kind in lines:
        print(lines[event.kind], file=sys.stderr, flush=True)


class _Errand:
    """One call of `fetch`: what its threads share."""

    def __init__(self, config: Config, progress: Progress | None, limits: Limits = USUAL) -> None:
        self.config = config
        self.stop = Flag()
        self._limits = limits
        self._progress = progress
        self._turn = Lock()
        self._log: list[str] = []

    @cached_property
    def debian(self) -> Debian:
        """What apt says; it is asked only when a file is missing."""
        return ask_apt()

    def results(self, sources: Iterable[Source]) -> Generator[_Result, None, None]:
        """Bring files in threads; the size of each, or why it failed, comes when it is known.

        The interpreter does not wait for these threads when it exits, as it does for those of a ThreadPoolExecutor: one
        that sleeps in a system call, for instance in a look-up of a host name, would hold up Ctrl-C.
        """
        waiting: SimpleQueue[Source] = SimpleQueue()
        done: SimpleQueue[_Result] = SimpleQueue()
        for source in sources:
            waiting.put(source)
        left = waiting.qsize()
        threads = [Thread(target=self._work, args=(waiting, done), daemon=True) for _ in range(min(WORKERS, left))]
        try:
            for thread in threads:
                thread.start()
            while left:
                # With a time-out, because Ctrl-C in the moment before a wait is noticed only after it.
                with suppress(Empty):
                    result = done.get(timeout=TICK)
                    left -= 1
                    yield result
        finally:
            self.stop.set()
            end = time.monotonic() + _GRACE
            for thread in threads:
                with suppress(RuntimeError):  # it was never started
                    thread.join(max(0.0, end - time.monotonic()))

    def _work(self, waiting: SimpleQueue[Source], done: SimpleQueue[_Result]) -> None:
        with suppress(Empty):
            while not self.stop.is_set():
                source = waiting.get_nowait()
                try:
                    done.put((source, self.bring(source)))
                except BaseException as error:
                    done.put((source, error))

    def bring(self, source: Source) -> int:
        """Have one file in the cache; return its size in bytes."""
        path = source_path(self.config, source)
        try:
            # A good file needs no lock, so that a cache that cannot be written serves as well.
            if not self._cached(path, source):
                with self.hold(source):
                    if not self._cached(path, source):
                        self._fetch(source, path)
            return path.stat().st_size
        except OSError as error:
            raise SourceError(
                f"cannot keep {source.name} in the cache of sources: {error.strerror or error}",
                hint=f"make room in {self.config.sources} and let yourself write to it, or set MERE_SOURCES",
            ) from error

    @contextmanager
    def hold(self, source: Source) -> Iterator[None]:
        """Keep everybody else from fetching this file."""
        mark(self.config.sources, SOURCES)
        locks = self.config.sources / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / source.sha256).open("w") as file:
            # Asked for again and again, because a thread that sleeps in the system call cannot be stopped.
            while not lock(file.fileno()):
                if self.stop.wait(TICK):
                    raise SourceError("interrupted")
            yield

    def write_log(self) -> Path | None:
        """Write addresses and whole hashes to a file; return its path, or ``None`` where that is impossible."""
        log = self.config.logs / "fetch.log"
        with suppress(OSError):
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("\n".join(self._log) + "\n")
            return log
        return None

    def _cached(self, path: Path, source: Source) -> bool:
        if not path.is_file() or _sha256(path) != source.sha256:
            return False
        self._tell(FetchEvent("cached", source.name, bytes=path.stat().st_size))
        return True

    def _fetch(self, source: Source, path: Path) -> None:
        misses: list[tuple[str, str]] = []
        if path.exists():
            misses.append(("cache", self._reject(source, path, _sha256(path))))
        # One name a file, under its lock: what a killed run left there is in nobody's way.
        partial = self.config.sources / "partial" / source.sha256
        partial.mkdir(parents=True, exist_ok=True)
        temporary = partial / source.name
        for mirror in mirrors_of(self.config, source, lambda: self.debian):
            if self.stop.is_set():
                raise SourceError("interrupted")
            temporary.unlink(missing_ok=True)

            def watch(done: int, total: int | None, label: str = mirror.label) -> None:
                self._tell(FetchEvent("bytes", source.name, label, done, total))

            watch(0, None)  # the first byte may take a while
            try:
                sha256 = bring(mirror, temporary, watch, self._limits, self.stop, offline=self.config.offline)
            except TransferError as error:
                reason = str(error)
                if temporary.exists() and (count := temporary.stat().st_size) and not self.stop.is_set():
                    after = "" if error.truncated else f" after {count:,} bytes"
                    reason += after + self._keep(source, temporary, _sha256(temporary))
            else:
                if sha256 == source.sha256:
                    count = temporary.stat().st_size
                    _install(temporary, path)
                    partial.rmdir()
                    self._tell(FetchEvent("done", source.name, mirror.label, count, count))
                    return
                reason = self._reject(source, temporary, sha256)
            if _KEPT in reason:
                # It took the place of the one before it, which is not promised any more.
                misses = [(label, other.partition(_KEPT)[0]) for label, other in misses]
            misses.append((mirror.label, reason))
            self._log.append(f"{source.name}: {mirror.label} ({shown(mirror.address)}): {reason}")
            self._tell(FetchEvent("miss", source.name, mirror.label, reason=reason))
        raise self._failure(source, misses)

    def _reject(self, source: Source, path: Path, sha256: str) -> str:
        """Set a wrong file aside and say what is wrong with it."""
        count = path.stat().st_size
        self._log.append(f"{source.name}: expected sha256 {source.sha256}, found {sha256}, {count} bytes")
        reason = f"sha256 {sha256[:8]}… ({count:,} bytes) differs from the pin {source.sha256[:8]}…"
        return reason + self._keep(source, path, sha256)

    def _keep(self, source: Source, path: Path, sha256: str) -> str:
        """Move a bad copy to the rejected ones, in place of the one before it, unless it is very large; say where."""
        rejected = self.config.sources / "rejected"
        for other in rejected.glob(glob.escape(source.name) + "." + "[0-9a-f]" * 8):
            other.unlink(missing_ok=True)
        if path.stat().st_size > LARGEST_KEPT:
            path.unlink()
            return ""
        rejected.mkdir(parents=True, exist_ok=True)
        kept = f"{source.name}.{sha256[:8]}"
        shutil.move(path, rejected / kept)
        return f"{_KEPT}{kept})"

    def _failure(self, source: Source, misses: list[tuple[str, str]]) -> SourceError:
        self._tell(FetchEvent("failed", source.name, reason="; ".join(reason for _, reason in misses)))
        width = max((len(label) for label, _ in misses), default=0)
        lines = [f"no good copy of {source.name}", *(f"  {label:{width}}   {reason}" for label, reason in misses)]
        if not misses:
            lines.append(f"  {source.recipe} names no mirror for it")
        hint = "check the network, or name a folder or URL that holds the file in MERE_MIRRORS"
        if any(reason.startswith("sha256") for _, reason in misses):
            hint = 'if you trust the new file, read notebooks/02-sources.ipynb, "When upstream changes a file"'
        elif self.config.offline:
            hint = "unset MERE_OFFLINE, or name a folder that holds the file in MERE_MIRRORS"
        return SourceError("\n".join(lines), hint=hint)

    def _tell(self, event: FetchEvent) -> None:
        # Nobody is there any more who wants to hear of what was stopped.
        if self._progress is not None and not self.stop.is_set():
            with self._turn:
                self._progress(event)


def _install(temporary: Path, path: Path) -> None:
    """Give a verified file its place, so that a crash leaves either nothing there or all of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Containers read it as another user, and nobody has a reason to change it.
    temporary.chmod(0o444)
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)
