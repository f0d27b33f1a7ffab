"""Debian's packages, found in Debian's signed index, with the machine's own apt and private apt state.

The machine's apt knows where its Debian archive is and how to get there (proxies, mirror lists, certificates). Its
entry is read, never changed; the index of several suites is kept beside our store, so no root is needed and
``apt-get update`` of the system never sees it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from threading import Event as Flag
from typing import Literal

from ..config import Config, clean_environment
from ..errors import SourceError
from .apt_entries import KEYRING, SUITES, deb822_entries, machine_archives
from .apt_output import DebianFile, apt_message, parse_uris
from .patience import TICK, USUAL, Limits, Pace, wait_for

#: Age in seconds after which the index is fetched again before it is used.
STALE = 24 * 3600

#: Age in seconds up to which an index that lacks a version is believed.
FRESH = 3600

#: Seconds that apt may take for anything but a file; an index of all suites is some 60 MB.
_TOTAL = 1800


@dataclass
class DebianMirror:
    """Debian's archive, seen through private apt state in the store.

    Parameters
    ----------
    config : Config
        Its `store` holds the state, in ``apt/``.
    etc : Path, optional
        The folder of the machine's apt configuration.
    kind : str, optional
        Which index: of source packages (``deb-src``) or of packages as they are installed (``deb``).
    suites : tuple of str, optional
        Debian's releases and their parts.
    stop : threading.Event, optional
        When set, apt is ended, and whoever waits for it gets a SourceError.
    limits : Limits, optional
        For each file; the size that the index names lowers them.
    """

    config: Config
    etc: Path = Path("/etc/apt")
    kind: Literal["deb-src", "deb"] = "deb-src"
    suites: tuple[str, ...] = SUITES
    stop: Flag = field(default_factory=Flag, repr=False)
    limits: Limits = field(default=USUAL, repr=False)
    _found: dict[str, list[DebianFile]] = field(default_factory=dict, init=False, repr=False)
    _asked: bool = field(default=False, init=False, repr=False)

    @property
    def state(self) -> Path:
        """The folder of our own apt state."""
        apt = self.config.store / "apt"
        return apt if self.kind == "deb-src" else apt / "packages"

    @property
    def unavailable(self) -> str:
        """Why this machine cannot ask Debian, or an empty string."""
        if self.config.offline:
            return "offline"
        if not shutil.which("apt-get") or not shutil.which("apt-cache"):
            return "this host has no apt"
        main = next((archive for archive in machine_archives(self.etc) if not archive.security), None)
        if main is None:
            return "the apt entries of this host name no Debian archive"
        if not Path(main.signed_by or KEYRING).exists():
            return "this host has no key ring of Debian (package debian-archive-keyring)"
        return ""

    def lookup(self, package: str, sha256: str) -> DebianFile:
        """Find the file with this sha256 in a source package.

        Parameters
        ----------
        package : str
            ``NAME=VERSION``. Where the index has moved on to another version, that one will do if it carries the
            very same file: a new Debian revision keeps its upstream file.
        sha256 : str
            The pin, 64 hexadecimal digits.

        Raises
        ------
        SourceError
            Debian cannot be asked, or no version of the package has such a file; the message is one short line.
        """
        if reason := self.unavailable:
            raise SourceError(reason)
        with self._lock():
            self._update(older_than=STALE)
            found = self._search(package, sha256)
            if found is None and self._update(older_than=FRESH):
                self._found.clear()
                found = self._search(package, sha256)
        if found is None:
            raise SourceError("not in the index, in no version" if self._indexed() else self._problem())
        return found

    def ask(self, program: str, *arguments: str) -> str:
        """What ``apt-cache`` or ``apt-get`` answers from the index, which is fetched first where ours is old.

        Raises
        ------
        SourceError
            Debian cannot be asked; the message is one short line.
        """
        if reason := self.unavailable:
            raise SourceError(reason)
        with self._lock():
            self._update(older_than=STALE)
            if not self._indexed():
                raise SourceError(self._problem())
            return self._apt(program, *arguments).stdout

    def download(
        self, file: DebianFile, target: Path, watch: Callable[[int, int | None], None] = lambda *_: None
    ) -> None:
        """Bring a file that the index names to `target`, unverified, through apt's proxies and mirror lists.

        Parameters
        ----------
        watch : callable, optional
            Called now and then with the bytes so far and those of the whole file.

        Raises
        ------
        SourceError
            The archive did not hand it out, or not within the limits; the message is apt's, without addresses.
        """
        helper = shutil.which("apt-helper", path="/usr/lib/apt:/usr/libexec/apt")
        if helper is None:
            raise SourceError("this host's apt has no apt-helper")
        limit = min(self.limits.size, file.size)
        pace = Pace(self.limits)

        def look() -> None:
            # Apt may be about to make it, or to give it another name.
            count = target.stat().st_size if target.exists() else 0
            if count > limit:
                raise SourceError(f"more than the {limit:,} bytes of the index")
            if reason := pace.problem(count):
                raise SourceError(reason)
            watch(count, file.size)

        result = self._apt(helper, "download-file", file.address, str(target), look=look)
        if result.returncode != 0 or not target.exists():
            raise SourceError(apt_message(result.stderr, file.address))

    def _search(self, package: str, sha256: str) -> DebianFile | None:
        name = package.partition("=")[0]
        # chain is lazy: the other versions are asked for only when the pinned one lacks the file, or is gone.
        for candidate in chain([package], self._versions_with(name, sha256)):
            for file in self._files(candidate):
                if file.sha256 == sha256:
                    return file
        return None

    def _files(self, package: str) -> list[DebianFile]:
        if package not in self._found:
            result = self._apt("apt-get", "-qq", "source", "--only-source", "--print-uris", "--download-only", package)
            self._found[package] = parse_uris(result.stdout)
        return self._found[package]

    def _versions_with(self, name: str, sha256: str) -> Iterator[str]:
        result = self._apt("apt-cache", "showsrc", "--only-source", name)
        for stanza in result.stdout.split("\n\n"):
            version = re.search(r"^Version: (\S+)$", stanza, re.MULTILINE)
            if version and sha256 in stanza:
                yield f"{name}={version[1]}"

    def _update(self, *, older_than: float) -> bool:
        """Fetch the index if ours is older than so many seconds, or made from other entries; tell whether we did."""
        entries = self._configure()
        # The name holds the entries' digest: after a change of the machine's mirror the stamp is another one.
        stamp = self.state / f"updated-{hashlib.sha256(entries.encode()).hexdigest()[:12]}"
        if stamp.exists() and 0 <= time.time() - stamp.stat().st_mtime < older_than:
            return False
        if self._asked:
            return False  # once a run is enough, also when the archive does not answer
        self._asked = True
        result = self._apt("apt-get", "-qq", "update")
        (self.state / "update.log").write_text(result.stdout + result.stderr)
        # A mirror may carry some of the suites only, which apt calls an error: what did come is good.
        if self._indexed():
            stamp.touch()
        return True

    def _configure(self) -> str:
        """Write the private configuration; return the text of the entries."""
        entries = deb822_entries(machine_archives(self.etc), self.kind, self.suites)
        (self.state / "lists/partial").mkdir(parents=True, exist_ok=True)
        _write_if_changed(self.state / "mere.sources", entries)
        # The machine's own hooks are cleared: they would clean or announce the system's lists, which we never touch.
        _write_if_changed(
            self.state / "apt.conf",
            f'Dir::State "{self.state}";\n'
            f'Dir::State::lists "{self.state}/lists";\n'
            # What is installed on this machine has no part in the answers.
            'Dir::State::status "/dev/null";\n'
            f'Dir::Cache "{self.state}/cache";\n'
            f'Dir::Etc::sourcelist "{self.state}/mere.sources";\n'
            'Dir::Etc::sourceparts "/nonexistent";\n'
            'APT::Sandbox::User "";\n'
            # Whatever this machine allows for itself: chapter 13 believes an index only by its signature.
            'Acquire::AllowInsecureRepositories "false";\n'
            'Acquire::AllowDowngradeToInsecureRepositories "false";\n'
            'Acquire::Languages "none";\n'
            'Acquire::Retries "2";\n'
            'Acquire::http::Timeout "30";\n'
            'Acquire::https::Timeout "30";\n'
            "#clear APT::Update;\n",
        )
        return entries

    def _apt(
        self, program: str, *arguments: str, look: Callable[[], None] | None = None
    ) -> subprocess.CompletedProcess[str]:
        # -c is read after the machine's own configuration, so that what we set wins and the rest (proxies) stays.
        command = [program, "-c", str(self.state / "apt.conf"), *arguments]
        proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        environment = clean_environment(HOME=str(self.state), **proxies)
        pace = Pace(replace(self.limits, rate=0, total=_TOTAL))
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
            # Ctrl-C is for us: an index that ended by it must not look like one that came.
            start_new_session=True,
        ) as process:
            try:
                while not self.stop.is_set():
                    if look:
                        look()
                    elif reason := pace.problem(0):
                        raise SourceError(f"apt {reason}")
                    with suppress(subprocess.TimeoutExpired):
                        output, complaints = process.communicate(timeout=TICK)
                        return subprocess.CompletedProcess(command, process.returncode, output, complaints)
                raise SourceError("interrupted")
            finally:
                if process.poll() is None:
                    # With its helpers, which hold the connections.
                    os.killpg(process.pid, signal.SIGTERM)

    def _indexed(self) -> bool:
        return any((self.state / "lists").glob("*_Sources*" if self.kind == "deb-src" else "*_Packages*"))

    def _problem(self) -> str:
        log = self.state / "update.log"
        return "no index: " + apt_message(log.read_text() if log.exists() else "")

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / "lock").open("w") as lock:
            wait_for(lock, self.stop)
            yield


def _write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        # An address of apt's may hold a password.
        path.touch(mode=0o600)
        path.write_text(text)
