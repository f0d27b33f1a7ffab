"""Finished builds, each under the hash of what it was made from; written aside, renamed in, never half there."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..config import Config
from ..errors import StoreError
from .lock import Locks
from .substitutes import Substitutes
from .trash import empty_trash
from .tree import digest, disk_trouble, listing, remove_tree, sync_folder


@dataclass(frozen=True)
class Output:
    """A file that a build left: its sha256, its size in bytes, its permission bits."""

    sha256: str
    size: int
    mode: int


@dataclass(frozen=True)
class Entry:
    """One finished build.

    Attributes
    ----------
    id : str
        Such as ``packages/musl``.
    key : str
        The hash of everything the build was made from.
    path : Path
        The entry's folder: ``out/``, ``meta.json`` and, where there is one, ``log``.
    meta : dict
        What ``meta.json`` holds.
    """

    id: str
    key: str
    path: Path
    meta: dict = field(repr=False, compare=False)

    @property
    def tree(self) -> Path:
        """The folder of the outputs."""
        return self.path / "out"

    @property
    def log(self) -> Path:
        """Everything the build printed."""
        return self.path / "log"

    @property
    def outputs(self) -> dict[str, Output]:
        """The files, by name relative to `tree`."""
        return {name: Output(**about) for name, about in self.meta["outputs"].items()}

    @property
    def output_digest(self) -> str:
        """One hash over all outputs: names, permissions, link targets, contents."""
        return self.meta["output_digest"]

    @property
    def measures(self) -> dict[str, float]:
        """What the build cost: ``wall_s``, ``cpu_s``, ``peak_bytes``, ``started``, ``ended``, ``overhead_s``."""
        return self.meta["measures"]


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
        path = self._entries / key
        try:
            meta = json.loads((path / "meta.json").read_bytes())
            if meta["key"] != key or meta["output_digest"] != digest(meta):
                return None
            for name, about in meta["outputs"].items():
                if os.lstat(path / "out" / name).st_size != about["size"]:
                    return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Entry(meta["id"], key, path, meta)

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
                hint=f"rm -rf {entry.path}   # the next run builds it again",
            )

    def remove(self, entry: Entry) -> None:
        """Forget `entry`; the next run builds it again."""
        with self.lock(entry.key), disk_trouble():
            self._discard(entry.path)

    def clean(self) -> None:
        """Remove what killed runs left behind; work that another run is busy with stays.

        What was discarded goes in the background, as it would have done: nobody waits for it.
        """
        with disk_trouble():
            empty_trash(self.config.work / "trash")
        for folder in (self.config.work / "entries", self.config.work / "steps"):
            for path in sorted(folder.glob("*")):
                # An entry on its way out has its key before the dot.
                with self._locks.try_hold(path.name.partition(".")[0]) as ours, disk_trouble():
                    if ours:
                        remove_tree(path)

    @property
    def _entries(self) -> Path:
        return self.config.store / "entries"

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
                meta = json.loads((folder / "meta.json").read_bytes())
                found = listing(folder / "out", settle=True)
                if meta["id"] != id or meta["key"] != key or any(meta[part] != found[part] for part in found):
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
            aside = self.config.work / "entries" / f"{path.name}.old"
            aside.parent.mkdir(parents=True, exist_ok=True)
            remove_tree(aside)
            path.rename(aside)
            remove_tree(aside)


def _flat(id: str) -> str:
    return id.replace("/", "-")
