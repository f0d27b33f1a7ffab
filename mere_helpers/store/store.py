"""Finished builds, each under the hash of what it was made from; written aside, renamed in, never half there."""

from __future__ import annotations

import json
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..config import Config
from ..errors import StoreError
from ..files import digest, disk_trouble, listing, remove_tree, sync, write_atomically
from ..locks import Locks
from ..marker import STORE, mark
from .entry import Entry, Output, read_entry, read_meta
from .substitutes import Substitutes

__all__ = ["ALIVE", "Entry", "Output", "Store"]

#: How the name of an entry ends that is being removed.
_GOING = ".old"

#: The lock in the directory of a run of the book, which the run holds.
ALIVE = "alive"


class Store:
    """The folder of all finished builds, made when first written to.

    Once `stop` is set, nobody waits for a lock any more. Each entry that is made keeps `run`, the name of the run, as
    ``meta["run"]``.
    """

    def __init__(self, config: Config, stop: threading.Event | None = None, run: str = "") -> None:
        self.config = config
        self.run = run
        self._entries = config.store / "entries"
        self._locks = Locks(config.store / "locks", stop)
        self._substitutes = Substitutes(config, stop) if config.substitutes else None

    def find(self, key: str) -> Entry | None:
        """The entry under `key`; None if there is none, or if it was damaged so that a look at its files shows it."""
        return read_entry(self._entries / key)

    def latest(self, id: str) -> Entry | None:
        """The entry that was last built or used for `id`."""
        try:
            return self.find(self._pointer(id).read_text().strip())
        except OSError:
            return None

    def remember(self, entry: Entry) -> None:
        """Make `entry` the latest of its id."""
        pointer = self._pointer(entry.id)
        with disk_trouble():
            if not pointer.exists() or pointer.read_text() != entry.key:
                pointer.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(pointer, entry.key)

    def entries(self) -> Iterator[Entry]:
        """All undamaged entries, by key."""
        yield from filter(None, (self.find(path.name) for path in sorted(self._entries.glob("*"))))

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a lock of the store, for instance a key, as `Locks.hold`; the store is made if need be."""
        with disk_trouble():
            mark(self.config.store, STORE)
        with self._locks.hold(name):
            yield

    def add(self, id: str, key: str, inputs: dict, produce: Callable[[Path], dict]) -> Entry:
        """The entry under `key`, the hash of the `inputs`, made by `produce` if nobody has made it yet.

        Given a folder, it fills its ``out/``, may leave ``log`` there, and returns the measures. StoreError: the store
        cannot be written, or an output is neither file, folder nor symbolic link. What was finished before stays.
        """

        def fill(folder: Path) -> bool:
            (folder / "out").mkdir()
            measures = dict(produce(folder))
            began = time.monotonic()
            meta = {"id": id, "key": key, "run": self.run, "inputs": inputs, **listing(folder / "out", settle=True)}
            meta["output_digest"] = digest(meta)
            if (folder / "log").exists():
                (folder / "log").chmod(0o444)
            spent = time.monotonic() - began
            meta["measures"] = measures | {"overhead_s": measures.get("overhead_s", 0.0) + spent}
            (folder / "meta.json").write_text(json.dumps(meta, indent=1, sort_keys=True))
            return True

        entry = self._ensure(id, key, fill)
        assert entry is not None
        return entry

    def take(self, id: str, key: str) -> Entry | None:
        """The entry under `key`, from the substitutes unless it is there by now; None if they have none.

        What they have is verified name by name. StoreError: they cannot be read, are not signed, or are not what they
        say; or the store cannot be written.
        """
        substitutes = self._substitutes
        if substitutes is None:
            return None

        def fill(folder: Path) -> bool:
            if not substitutes.unpack(key, folder):
                return False
            meta, found = read_meta(folder), listing(folder / "out", settle=True)
            if meta is None or {**meta, **found, "id": id, "key": key, "output_digest": digest(found)} != meta:
                raise StoreError(f"the substitute for {id} is not what it says", hint="unset MERE_SUBSTITUTES")
            return True

        return self._ensure(id, key, fill)

    def offered(self, key: str) -> str | None:
        """The output digest of the entry that `take` would bring; None if there is none. Raises as `take`."""
        return self._substitutes.output_digest(key) if self._substitutes else None

    def verify(self, entry: Entry) -> None:
        """Read every output again. StoreError: something is not what it was; the message names it."""
        with disk_trouble():
            now = listing(entry.tree)
        changed = [
            name
            for part in now
            for name in sorted(now[part].keys() | entry.meta[part].keys())
            if now[part].get(name) != entry.meta[part].get(name)
        ]
        if changed:
            raise StoreError(
                f"the stored outputs of {entry.id} have changed: {', '.join(changed[:5])}"
                + (f" and {len(changed) - 5} more" if len(changed) > 5 else ""),
                hint=f"rm -rf {shlex.quote(str(entry.path))}   # the next run builds it again",
            )

    def remove(self, entry: Entry) -> None:
        """Forget `entry`; the next run builds it again."""
        with self.lock(entry.key), disk_trouble():
            self._discard(entry.path)

    def clean(self) -> None:
        """Remove what killed runs left behind; work that another run is busy with stays, and what cannot be removed.

        That is in nobody's way before the same build is made again, which then says what is wrong.
        """
        work = self.config.work
        for path in [*work.glob("entries/*"), *work.glob("steps/*")]:
            # An entry on its way out has the name of its lock before the ending.
            _remove_abandoned(path, self._locks, path.name.removesuffix(_GOING))
        for path in work.glob("book-*"):
            # A run holds the lock in its own directory, and one that was killed while it made it has none.
            if (path / ALIVE).exists() or _is_old(path):
                _remove_abandoned(path, Locks(path), ALIVE)
        for path in work.glob("jobs/jobs-*"):
            # One with job tokens in it goes when the next ones are made.
            if _is_old(path):
                with suppress(OSError):
                    path.rmdir()

    def _pointer(self, id: str) -> Path:
        return self.config.store / "latest" / id.replace("/", "-")

    def _ensure(self, id: str, key: str, fill: Callable[[Path], bool]) -> Entry | None:
        """The entry under `key`, filled aside and then given its name if nobody has made it; None if `fill` says no."""
        folder, path = self.config.work / "entries" / key, self._entries / key
        with self.lock(key):
            # Another run may have made it while this one waited, and be at work with it.
            entry = self.find(key)
            try:
                with disk_trouble():
                    if entry is None:
                        remove_tree(folder)
                        folder.mkdir(parents=True)
                        if not fill(folder):
                            return None
                        # The disk has all of it before it gets its name.
                        sync(folder / "meta.json")
                        self._entries.mkdir(exist_ok=True)
                        self._discard(path)
                        folder.rename(path)
                        sync(self._entries)
                        entry = self.find(key)
            finally:
                # What stands in the way of this is reported by the error that brought us here, or by the next run.
                with suppress(OSError):
                    remove_tree(folder)
        if entry is None:
            raise StoreError(f"{id} was stored and cannot be read back", hint="look at dmesg for errors of the disk")
        self.remember(entry)
        return entry

    def _discard(self, path: Path) -> None:
        """Remove an entry at one stroke, so that nobody sees half of it."""
        if path.exists():
            aside = self.config.work / "entries" / f"{path.name}{_GOING}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            remove_tree(aside)
            path.rename(aside)
            remove_tree(aside)


def _remove_abandoned(path: Path, locks: Locks, name: str) -> None:
    with suppress(OSError, StoreError), locks.try_hold(name) as ours:
        if ours:
            remove_tree(path)


def _is_old(path: Path) -> bool:
    """Whether what looks abandoned has looked so for a day: a run may just be making it."""
    with suppress(OSError):
        return path.stat().st_mtime < time.time() - 86400
    return False
