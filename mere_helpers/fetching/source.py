"""Source files: where they come from, and the proof that they are the right ones."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from threading import Lock
from typing import Literal

from ..config import Config
from ..errors import SourceError
from ..marker import SOURCES, mark
from ..recipes.recipe import Recipe, Source
from ..report import Table, size
from .address import shown
from .background import each
from .mirror import Carrier, NoCopyError, mirrors_of
from .patience import USUAL, Limits, wait_for
from .rejected import Copy, complaint, keep

#: Files that are fetched, or hashed, at the same time.
WORKERS = 6


@dataclass(frozen=True)
class FetchEvent:
    """Something that happened to one file.

    Attributes
    ----------
    kind : str
        ``cached`` (was there and is good), ``bytes`` (some more have come), ``miss`` (this mirror failed), ``done``,
        ``failed`` (no mirror is left). The last word about a file is ``cached``, ``done`` or ``failed``.
    name : str
        The file.
    mirror : str
        The label of the mirror.
    bytes, total : int
        So far, and in all where that is known.
    reason : str
        Why, for ``miss`` and ``failed``.
    """

    kind: Literal["cached", "bytes", "miss", "done", "failed"]
    name: str
    mirror: str = ""
    bytes: int = 0
    total: int | None = None
    reason: str = ""


Progress = Callable[[FetchEvent], None]


def source_path(config: Config, source: Source) -> Path:
    """Where the cache keeps a file: under its sha256, so that equal names never meet. It need not be there yet."""
    return config.sources / source.sha256 / source.name


def fetch(config: Config, recipes: Iterable[Recipe], progress: Progress | None = None, limits: Limits = USUAL) -> Table:
    """Bring every source file of the recipes into the cache, verified.

    Files in the cache are hashed again: a changed one is set aside and fetched anew.

    Parameters
    ----------
    recipes : iterable of Recipe
        Their `sources` name each file and its sha256.
    progress : callable, optional
        Called with each `FetchEvent`, never by two threads at once.
    limits : Limits, optional
        What a mirror may take for a file, in bytes and in time, before the next one is asked.

    Returns
    -------
    Table
        One row a file: name, bytes, sha256.

    Raises
    ------
    SourceError
        No mirror had a file, or every copy found differed from its pin. The message lists each mirror with its
        reason; of each file, the last copy that differed is kept in the cache's ``rejected`` folder. The other files
        are fetched all the same.
    """
    wanted = {(source.name, source.sha256): source for recipe in recipes for source in recipe.sources}
    errand = _Errand(config, wanted.values(), progress, limits)
    problems: dict[str, SourceError] = {}
    sizes: dict[tuple[str, str], int] = {}
    # Big files tend to be near the start of the alphabet (binutils, gcc); they start first.
    with closing(each(errand.bring, [wanted[key] for key in sorted(wanted)], WORKERS, errand.stop)) as results:
        for source, result in results:
            try:
                sizes[source.name, source.sha256] = result.result()
            except SourceError as error:
                problems[source.name] = error
    if problems:
        first, *others = [problems[name] for name in sorted(problems)]
        message = "\n".join(error.message for error in (first, *others))
        raise SourceError(message, hint=first.hint, log=errand.write_log())
    rows = tuple((name, f"{sizes[name, sha256]:,}", sha256) for name, sha256 in sorted(sizes))
    note = f"{len(rows)} file{'s' * (len(rows) != 1)}, {size(sum(sizes.values()))}; every one equals its pin."
    return Table(("file", "bytes", "sha256"), rows, note=note)


def verified_path(config: Config, source: Source) -> Path:
    """The cached file, hashed at this moment.

    Raises
    ------
    SourceError
        It is not in the cache, or is not what was pinned.
    """
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
    if event.kind == "done":
        print(f"fetched {event.name} ({size(event.bytes)}, {event.mirror})", file=sys.stderr, flush=True)
    elif event.kind == "miss":
        print(f"        {event.name}: {event.mirror}: {event.reason}", file=sys.stderr, flush=True)
    elif event.kind == "failed":
        print(f"FAILED  {event.name}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class _Miss:
    """Why a mirror was of no use, and the name of its copy among the rejected ones, if it is there."""

    label: str
    reason: str
    kept: str = ""

    def __str__(self) -> str:
        return f"{self.reason} (kept in rejected/{self.kept})" if self.kept else self.reason


class _Errand:
    """One call of `fetch`: what its threads share."""

    def __init__(
        self, config: Config, wanted: Iterable[Source], progress: Progress | None, limits: Limits = USUAL
    ) -> None:
        self.config = config
        self.stop = Flag()
        self._carrier = Carrier(config, self.stop, limits)
        self._names = {source.sha256: source.name for source in wanted}
        self._progress = progress
        self._turn = Lock()
        self._log: list[str] = []

    def bring(self, source: Source) -> int:
        """Have one file in the cache; return its size in bytes."""
        path = source_path(self.config, source)
        try:
            # A good file needs no lock, so that a cache that cannot be written serves as well.
            if not self._cached(path, source):
                with self._lock(source):
                    if not self._cached(path, source):
                        self._fetch(source, path)
            return path.stat().st_size
        except OSError as error:
            raise SourceError(
                f"cannot keep {source.name} in the cache of sources: {error.strerror or error}",
                hint=f"make room in {self.config.sources} and let yourself write to it, or set MERE_SOURCES",
            ) from error

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
        misses = []
        if path.exists():
            copy = Copy(_sha256(path), path.stat().st_size, None)
            misses.append(self._reject(source, "cache", path, copy))
        # One name a file, under its lock: what a killed run left there is in nobody's way.
        partial = self.config.sources / "partial" / source.sha256
        partial.mkdir(parents=True, exist_ok=True)
        temporary = partial / source.name
        for mirror in mirrors_of(self.config, source):
            temporary.unlink(missing_ok=True)
            try:
                copy = self._carrier.bring(mirror, source, temporary, self._watch(source, mirror.label))
            except NoCopyError as error:
                miss = _Miss(mirror.label, str(error))
                if temporary.exists() and temporary.stat().st_size and not self.stop.is_set():
                    copy = Copy(_sha256(temporary), temporary.stat().st_size, None)
                    reason = f"{miss.reason} after {copy.size:,} bytes"
                    miss = _Miss(mirror.label, reason, keep(self._rejected, source.name, temporary, copy))
            else:
                if copy.sha256 == source.sha256:
                    _install(temporary, path)
                    partial.rmdir()
                    self._tell(FetchEvent("done", source.name, mirror.label, copy.size, copy.size))
                    return
                miss = self._reject(source, mirror.label, temporary, copy)
            misses.append(miss)
            self._log.append(f"{source.name}: {mirror.label} ({shown(mirror.address)}): {miss}")
            self._tell(FetchEvent("miss", source.name, mirror.label, reason=str(miss)))
        raise self._failure(source, misses)

    def _reject(self, source: Source, label: str, path: Path, copy: Copy) -> _Miss:
        """Set a wrong file aside and say what is wrong with it."""
        what = "" if (other := self._names.get(copy.sha256)) is None else f"is {other} under a wrong name: "
        what = what or complaint(path, copy, self.stop)
        self._log.append(f"{source.name}: expected sha256 {source.sha256}, found {copy.sha256}, {copy.size} bytes")
        reason = f"{what}sha256 {copy.sha256[:8]}… differs from the pin {source.sha256[:8]}…"
        return _Miss(label, reason, keep(self._rejected, source.name, path, copy))

    @property
    def _rejected(self) -> Path:
        return self.config.sources / "rejected"

    def _failure(self, source: Source, misses: list[_Miss]) -> SourceError:
        # A copy that another one took the place of is not promised any more.
        misses = [miss if (self._rejected / miss.kept).exists() else _Miss(miss.label, miss.reason) for miss in misses]
        self._tell(FetchEvent("failed", source.name, reason="; ".join(map(str, misses))))
        width = max((len(miss.label) for miss in misses), default=0)
        lines = [f"no good copy of {source.name}", *(f"  {miss.label:{width}}   {miss}" for miss in misses)]
        if not misses:
            lines.append(f"  {source.recipe} names no mirror for it")
        hint = "check the network, or name a folder or URL that holds the file in MERE_MIRRORS"
        if any(miss.reason.startswith("sha256") for miss in misses):
            hint = 'if you trust the new file, read notebooks/02-sources.ipynb, "When upstream changes a file"'
        elif self.config.offline:
            hint = "unset MERE_OFFLINE, or name a folder that holds the file in MERE_MIRRORS"
        return SourceError("\n".join(lines), hint=hint)

    def _watch(self, source: Source, label: str) -> Callable[[int, int | None], None]:
        return lambda done, total: self._tell(FetchEvent("bytes", source.name, label, done, total))

    def _tell(self, event: FetchEvent) -> None:
        # Nobody is there any more who wants to hear of what was stopped.
        if self._progress is not None and not self.stop.is_set():
            with self._turn:
                self._progress(event)

    @contextmanager
    def _lock(self, source: Source) -> Iterator[None]:
        mark(self.config.sources, SOURCES)
        locks = self.config.sources / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / source.sha256).open("w") as lock:
            wait_for(lock, self.stop)
            yield


def _install(temporary: Path, path: Path) -> None:
    """Give a verified file its place, so that a crash leaves either nothing there or all of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Containers read it as another user, and nobody has a reason to change it.
    temporary.chmod(0o444)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
