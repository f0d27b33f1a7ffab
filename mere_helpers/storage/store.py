"""Finished builds, each under the hash of what it was made from; written aside, renamed in, never half there."""

from __future__ import annotations

import json
import os
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..config import Config
from ..errors import StoreError
from ..marker import STORE, mark
from .entry import Entry, Output, read_entry, read_meta
from .lock import Locks
from .substitutes import Substitutes
from .trash import empty_trash
from .tree import digest, disk_trouble, listing, remove_tree, sync_folder

__all__ = ["ALIVE", "Entry", "Output", "Store"]

#: How the name of an entry ends that is being removed.
_GOING = ".old"

#: The lock in the directory of a run of the book, which the run holds.
ALIVE = "alive"


class Store:
    """The folder of all finished builds.

    Parameters
    ----------
    config : Config
        Its `store` is the folder; it is made when first written to.
    stop : threading.Event, optional
        Once it is set, nobody waits for a lock any more.
    run : str, optional
        The name of the run; each entry that is made keeps it as ``meta["run"]``.
    """

    def __init__(self, config: Config, stop: threading.Event | None = None, run: str = "") -> None:
        self.config = config
        self.run = run
        stop = stop or threading.Event()
        self._locks = Locks(config.store / "locks", stop)
        self._substitutes = Substitutes(config, stop) if config.substitutes else None

    def __reduce__(self) -> tuple:
        # Builds may run in other processes, where the event means nothing.
        return Store, (self.config, None, self.run)

    def find(self, key: str) -> Entry | None:
        """The entry under `key`; None if there is none, or if it was damaged so that a look at its files shows it."""
        return read_entry(self._entries / key)

    def latest(self, id: str) -> Entry | None:
        """The entry that was last built or used for `id`."""
        try:
            return self.find((self.config.store / "latest" / _flat(id)).read_text().strip())
        except OSError:
            return None

    def remember(self, entry: Entry) -> None:
        """Make `entry` the latest of its id."""
        pointer = self.config.store / "latest" / _flat(entry.id)
        with disk_trouble():
            if not pointer.exists() or pointer.read_text() != entry.key:
                pointer.parent.mkdir(parents=True, exist_ok=True)
                aside = pointer.with_name(f".{pointer.name}.{os.getpid()}.{threading.get_ident()}")
                aside.write_text(entry.key)
                aside.rename(pointer)

    def entries(self) -> Iterator[Entry]:
        """All undamaged entries, by key."""
        for path in sorted(self._entries.glob("*")):
            entry = self.find(path.name)
            if entry:
                yield entry

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the lock `name`, for instance a key; whoever comes second, in this process or another, waits.

        The system frees the lock when its holder dies, however it dies. A thread may take a lock it already holds.

        Raises
        ------
        StoreError
            The lock file cannot be made.
        BuildError
            The run was stopped while it waited.
        """
        with disk_trouble():
            mark(self.config.store, STORE)
        with self._locks.hold(name):
            yield

    def add(self, id: str, key: str, inputs: dict, produce: Callable[[Path], dict]) -> Entry:
        """The entry under `key`, made by `produce` if nobody has made it yet.

        Parameters
        ----------
        id, key : str
            The build and the hash of its inputs.
        inputs : dict
            What went into the key, kept for the reader.
        produce : callable
            Given a folder; fills its ``out/``, may leave ``log`` there, and returns the measures.

        Raises
        ------
        StoreError
            The store cannot be written, or an output is neither file, folder nor symbolic link. What was finished
            before stays.
        """
        with self.lock(key):
            entry = self.find(key) or self._make(id, key, inputs, produce)
        self.remember(entry)
        return entry

    def take(self, id: str, key: str) -> Entry | None:
        """The entry under `key`, from the substitutes unless it is there by now; None if they have none.

        What they have is verified name by name.

        Raises
        ------
        StoreError
            The substitutes cannot be read, are not signed, or are not what they say; or the store cannot be written.
        """
        if self._substitutes is None:
            return None
        with self.lock(key):
            # Another run may have taken it while this one waited, and be at work with it.
            entry = self.find(key) or self._unpack(self._substitutes, id, key)
        if entry:
            self.remember(entry)
        return entry

    def offered(self, key: str) -> str | None:
        """The output digest of the entry that `take` would bring; None if there is none. Raises as `take`."""
        return self._substitutes.output_digest(key) if self._substitutes else None

    def verify(self, entry: Entry) -> None:
        """Read every output again.

        Raises
        ------
        StoreError
            Something is not what it was when it was stored; the message names it.
        """
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
        """Remove what killed runs left behind; work that another run is busy with stays.

        What was discarded goes in the background, as it would have done: nobody waits for it. What cannot be removed
        stays: it is in nobody's way before the same build is made again, and that says what is wrong.
        """
        work = self.config.work
        with suppress(OSError):
            empty_trash(work / "trash")
        for path in sorted([*work.glob("entries/*"), *work.glob("steps/*")]):
            # An entry on its way out has the name of its lock before the ending.
            self._remove_abandoned(path, self._locks, path.name.removesuffix(_GOING))
        for path in sorted(work.glob("book-*")):
            # A run holds the lock in its own directory, and one that was killed while it made it has none.
            if (path / ALIVE).exists() or _is_old(path):
                self._remove_abandoned(path, Locks(path, threading.Event()), ALIVE)
        for path in sorted(work.glob("jobs/jobs-*")):
            # One with job tokens in it goes when the next ones are made.
            if _is_old(path):
                with suppress(OSError):
                    path.rmdir()

    @property
    def _entries(self) -> Path:
        return self.config.store / "entries"

    def _remove_abandoned(self, path: Path, locks: Locks, name: str) -> None:
        with suppress(OSError, StoreError), locks.try_hold(name) as ours:
            if ours:
                remove_tree(path)

    def _make(self, id: str, key: str, inputs: dict, produce: Callable[[Path], dict]) -> Entry:
        folder = self.config.work / "entries" / key
        try:
            with disk_trouble():
                remove_tree(folder)
                (folder / "out").mkdir(parents=True)
                measures = dict(produce(folder))
                began = time.monotonic()
                meta = {"id": id, "key": key, "run": self.run, "inputs": inputs, **listing(folder / "out", settle=True)}
                meta["output_digest"] = digest(meta)
                if (folder / "log").exists():
                    (folder / "log").chmod(0o444)
                spent = time.monotonic() - began
                meta["measures"] = measures | {"overhead_s": measures.get("overhead_s", 0.0) + spent}
                (folder / "meta.json").write_text(json.dumps(meta, indent=1, sort_keys=True))
                self._place(folder, key)
        finally:
            # What stands in the way of this is reported by the error that brought us here, or by the next run.
            with suppress(OSError):
                remove_tree(folder)
        entry = self.find(key)
        if entry is None:
            raise StoreError(f"{id} was stored and cannot be read back", hint="look at dmesg for errors of the disk")
        return entry

    def _unpack(self, substitutes: Substitutes, id: str, key: str) -> Entry | None:
        folder = self.config.work / "entries" / key
        try:
            with disk_trouble():
                remove_tree(folder)
                folder.mkdir(parents=True)
                if not substitutes.unpack(key, folder):
                    return None
                meta = read_meta(folder)
                found = listing(folder / "out", settle=True)
                if (
                    meta is None
                    or (meta["id"], meta["key"]) != (id, key)
                    or any(meta[part] != found[part] for part in found)
                ):
                    raise StoreError(f"the substitute for {id} is not what it says", hint="unset MERE_SUBSTITUTES")
                self._place(folder, key)
        finally:
            with suppress(OSError):
                remove_tree(folder)
        return self.find(key)

    def _place(self, folder: Path, key: str) -> None:
        """Give a finished folder its name, after the disk has all of it."""
        with open(folder / "meta.json") as file:
            os.fsync(file.fileno())
        self._entries.mkdir(exist_ok=True)
        self._discard(self._entries / key)
        folder.rename(self._entries / key)
        sync_folder(self._entries)

    def _discard(self, path: Path) -> None:
        """Remove an entry at one stroke, so that nobody sees half of it."""
        if path.exists():
            aside = self.config.work / "entries" / f"{path.name}{_GOING}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            remove_tree(aside)
            path.rename(aside)
            remove_tree(aside)


def _is_old(path: Path) -> bool:
    """Whether what looks abandoned has looked so for a day: a run may just be making it."""
    with suppress(OSError):
        return path.stat().st_mtime < time.time() - 86400
    return False


def _flat(id: str) -> str:
    return id.replace("/", "-")
