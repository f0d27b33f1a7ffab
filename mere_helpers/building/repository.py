"""The repository: packages and database signed with a key of this machine, and systems that pacman installs from it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from ..config import Config
from ..errors import RepositoryError
from ..locks import Locks
from ..sandbox.idmap import as_mapped_root
from ..sandbox.sandbox import Bind, Sandbox
from ..sandbox.untrusted import check_folder
from ..store.store import Entry
from .package_file import package_name

#: The packages whose root can sign, publish and install.
TOOLS = ("pacman",)

_SCRIPTS = "recipes/repository"


@dataclass(frozen=True)
class Repository:
    """A directory that pacman takes packages from: its key's fingerprint, and its package files by package."""

    folder: Path
    fingerprint: str
    files: Mapping[str, Path]


def publish(
    config: Config, entries: Sequence[Entry], layers: Sequence[Path], documents: Mapping[str, bytes]
) -> Repository:
    """Sign these packages and make a repository of them, or find it made.

    Parameters
    ----------
    config : Config
        Its `store` keeps the key, made at the first call, and the repositories.
    layers : sequence of Path
        A root that holds `TOOLS`.
    documents : mapping of str to bytes
        Files about the packages, by name; they are signed, too.

    Raises
    ------
    RepositoryError
        Something went wrong while signing; the message ends with what was said.
    """
    key = _key(config, layers)
    fingerprint = (key / "fingerprint").read_text().strip()
    sums = sorted((name, output.sha256) for entry in entries for name, output in entry.outputs.items())
    about = sorted((name, hashlib.sha256(text).hexdigest()) for name, text in documents.items())
    words = [word for pair in (*sums, *about) for word in pair]
    folder = config.store / "repositories" / _name(config, fingerprint, *words)
    with _locks(config).hold("repository"):
        if not folder.is_dir():
            binds = [Bind(entry.tree, f"/packages/{number}") for number, entry in enumerate(entries)]
            with Sandbox(config, layers, binds=binds) as container, TemporaryDirectory() as room:
                for name, text in documents.items():
                    Path(room, name).write_bytes(text)
                container.copy_in([key], "/", private=True)
                container.copy_in(Path(room).iterdir(), "/documents")
                _script(config, container, "publish.sh")
                container.keep("/repository", folder)
    return Repository(folder, fingerprint, {package_name(name): folder / name for name, _ in sums})


def install(config: Config, repository: Repository, names: Sequence[str], layers: Sequence[Path]) -> Path:
    """A layer with these packages and what they need, installed by pacman from the signed repository.

    `layers` make a root that holds `TOOLS`; the installed system needs nothing of it. When pacman refuses, the
    RepositoryError ends with what it said.
    """
    system = config.store / "systems" / _name(config, repository.folder.name, *names)
    with _locks(config).hold("repository"):
        if not system.is_dir():
            system.parent.mkdir(parents=True, exist_ok=True)
            # pacman installs into a folder of its own: from the throw-away root nothing can get in.
            binds = [Bind(repository.folder, "/repository")]
            with Sandbox(config, layers, binds=binds, folders=["/system"]) as container:
                _script(config, container, "install.sh", repository.fingerprint, *names)
                # A script of a package may have put a link in its place.
                check_folder(container.upper, "system")
                made = container.upper / "system"
                script = 'rm -rf "$2" && sync -f "$1" && mv -T "$1" "$2"'
                as_mapped_root(config, ["sh", "-c", script, "sh", made, system], own=True)
    return system


def tamper(config: Config, repository: Repository, system: Path, what: str, how: str) -> str:
    """Let the pacman of an installed system use a repository with one thing wrong; returns what it said.

    Parameters
    ----------
    what : {"package", "database"}
    how : {"intact", "altered", "unsigned", "resigned"}
        Only a repository that is intact may come to a result.

    Raises
    ------
    RepositoryError
        pacman refused; the message is what it said, without the name of the key.
    """
    with Sandbox(config, [system], binds=[Bind(repository.folder, "/repository")]) as container:
        try:
            return _script(config, container, "tamper.sh", what, how)
        except RepositoryError as error:
            # The reasons, out of what else pacman tells and asks.
            reasons = re.findall(r"error: .*", error.message)
            raise RepositoryError("\n".join(reasons) or error.message, log=error.log) from None


def _key(config: Config, layers: Sequence[Path]) -> Path:
    """The folder with the key, made if there is none."""
    key = config.store / "key"
    with _locks(config).hold("key"):
        if not (key / "fingerprint").is_file():
            with Sandbox(config, layers) as container:
                _script(config, container, "key.sh")
                container.keep("/key", key)
    return key


def _script(config: Config, container: Sandbox, name: str, *arguments: str) -> str:
    """Run one of the scripts inside; returns what it printed."""
    log = config.logs / f"repository-{name.removesuffix('.sh')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    container.copy_in(sorted((config.checkout / _SCRIPTS).iterdir()), "/recipes")
    done = container.run(["sh", f"/recipes/{name}", *arguments], log=log, timeout=600)
    # A key is a machine's own, and so is its name.
    said = re.sub(r"\b[0-9A-F]{8,40}\b", "KEY", log.read_text(errors="replace")).strip()
    if done.code:
        raise RepositoryError("\n".join(said.splitlines()[-20:]), log=log)
    return said


def _name(config: Config, *words: str) -> str:
    scripts = [path.read_text() for path in sorted((config.checkout / _SCRIPTS).iterdir())]
    return hashlib.sha256("\0".join([*scripts, *words]).encode()).hexdigest()[:16]


def _locks(config: Config) -> Locks:
    return Locks(config.store / "locks", Event())
