"""Containers: a throw-away root of layers, without network, in which root is nobody; gone when its block ends.

LXC's command line tools do the work, unprivileged. All that belongs to one container lies in one folder of the store.
"""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from ..config import Config, clean_environment
from ..errors import ContainerError
from .claim import claim, lxc_environment, release
from .idmap import CHECK, IdRange, as_mapped_root, id_range
from .limits import Limits
from .running import follow
from .untrusted import check_folder, open_file, open_folder

__all__ = ["Bind", "Container", "IdRange", "Result", "as_mapped_root", "id_range"]

#: Settings that all containers have, for LXC; among the recipes.
_FIXED = "container.conf"

#: With these, the mount options of the root fit into one page, which is all the kernel takes.
_MOST_LAYERS, _LONGEST_PATH = 400, 500


@dataclass(frozen=True)
class Bind:
    """A file or folder of the host, seen at `target` (absolute) inside."""

    source: Path
    target: str
    readonly: bool = True

    @property
    def setting(self) -> str:
        """The line for the container's configuration."""
        kind = "dir" if self.source.is_dir() else "file"
        rights = "bind,ro" if self.readonly else "bind"
        names = f"{_escaped(str(self.source))} {_escaped(self.target.strip('/'))}"
        return f"lxc.mount.entry = {names} none {rights},create={kind} 0 0"


@dataclass(frozen=True)
class Result:
    """What a command in a container did.

    Attributes
    ----------
    code : int
        Its exit status; 128 + n after signal n.
    tail : str
        The end of what it printed.
    wall_s, cpu_s : float
        Elapsed time, and processor time of all its processes, in seconds.
    peak_bytes : int
        The most memory its processes held together, by samples, or that of the largest one if that is more.
    timed_out : bool
        It was killed because its time was up.
    """

    code: int
    tail: str
    wall_s: float
    cpu_s: float
    peak_bytes: int
    timed_out: bool = False


class Container:
    """A container; use it in a ``with`` block.

    Parameters
    ----------
    config : Config
        Its `store` gets the container's folder; ``container.conf`` among its `recipes` is for all containers.
    layers : sequence of Path
        The folders that make the root, topmost first; they are never written to.
    name : str, optional
        The host name inside.
    binds : sequence of Bind, optional
        Files and folders of the host to be seen inside.
    environment : mapping, optional
        The whole environment of commands; the default is a clean one.
    folders : sequence of str, optional
        Absolute; made empty.
    stop : threading.Event, optional
        Once it is set, whatever runs inside is killed.

    Raises
    ------
    ContainerError
        On entering the block: a layer or a bound file is missing, or the host does not let us make containers.
    """

    def __init__(
        self,
        config: Config,
        layers: Sequence[Path],
        *,
        name: str = "mere",
        binds: Sequence[Bind] = (),
        environment: Mapping[str, str] | None = None,
        folders: Sequence[str] = (),
        stop: threading.Event | None = None,
    ) -> None:
        self.config = config
        self.layers = [Path(layer) for layer in layers]
        self.name = name
        self.binds = tuple(binds)
        self.environment = clean_environment(PATH="/usr/bin:/bin") if environment is None else dict(environment)
        self.folders = tuple(folders)
        self.folder = Path()
        self._alive = -1
        self._stop = stop or threading.Event()
        self._ran = False

    @property
    def upper(self) -> Path:
        """The layer that takes what is written inside; its contents are not to be trusted."""
        return self.folder / "m" / "upper"

    def __enter__(self) -> Self:
        self._check()
        self.folder, self._alive = claim(self.config)
        try:
            # One page is all there is for the names of the layers, so they get short ones, relative to our folder.
            for number, layer in enumerate(self.layers):
                (self.folder / str(number)).symlink_to(layer)
            (self.folder / "m").mkdir()
            # The root inside must own its root folder, and the folder in which overlayfs puts its work folder.
            folders = [f"m/upper/{name.strip('/')}" for name in ("dev", "proc", "sys", "tmp", *self.folders)]
            script = 'umask 022 && chown 0:0 m && mkdir -p "$@" && chmod 1777 m/upper/tmp'
            as_mapped_root(self.config, ["sh", "-c", script, "sh", *folders], own=True, cwd=self.folder)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._alive >= 0:
            alive, self._alive = self._alive, -1
            release(self.config, self.folder, alive)

    def run(
        self, command: Sequence[str], *, log: Path | None = None, timeout: float | None = None, cwd: str = "/"
    ) -> Result:
        """Run a command inside, to its end; it reads nothing, and all it prints is appended to `log`.

        Parameters
        ----------
        command : sequence of str
            The program and its arguments.
        log : Path, optional
            A file that outlives the container.
        timeout : float, optional
            Seconds after which everything inside is killed.
        cwd : str, optional
            The folder inside that it starts in.

        Raises
        ------
        ContainerError
            The container could not be started.
        """
        self._ran = True
        complaints = self.folder / "lxc.log"
        complaints.unlink(missing_ok=True)
        with open(log or self.folder / "log", "ab", buffering=0) as writer, Limits(self.folder.name) as limits:
            settings = [*self._settings(cwd), *limits.settings]
            (self.folder / "conf").write_text("".join(f"{line}\n" for line in settings))
            words = ["lxc-execute", "-P", str(self.folder), "-n", self.folder.name, "-f", str(self.folder / "conf")]
            words += ["-o", str(complaints), "-l", "ERROR", "--", *command]
            ended = follow(
                limits.enter(words),
                writer,
                cwd=self.folder,
                environment=lxc_environment(self.folder),
                timeout=timeout,
                stop=self._stop,
                pulse=limits.sample,
            )
        if ended.code and not ended.timed_out and complaints.exists():
            _raise_complaints(complaints.read_text(errors="replace"))
        return Result(
            code=ended.code,
            tail=ended.tail.decode(errors="replace"),
            wall_s=ended.wall_s,
            cpu_s=ended.cpu_s,
            peak_bytes=max(limits.peak_bytes, ended.largest_bytes),
            timed_out=ended.timed_out,
        )

    def copy_in(self, files: Iterable[Path], target: str, *, private: bool = False) -> None:
        """Copy files and folders of the host into the folder `target` (absolute); they belong to the root inside.

        Parameters
        ----------
        files : iterable of Path
            What is copied, folders with all that is in them.
        target : str
            Made if it is not there.
        private : bool, optional
            Only the root inside may enter the folders, whoever else there is on the host.

        Raises
        ------
        ContainerError
            A command has run already: it may have left links that lead out of the container.
        """
        if self._ran:
            raise ContainerError("files go into a container before its first command", hint="call copy_in before run")
        buffer = io.BytesIO()
        owned = partial(_of_root, folder_mode=0o700 if private else 0o755)
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for file in files:
                archive.add(file, arcname=file.name, filter=owned)
        command = ["sh", "-c", 'umask 022 && mkdir -p "$1" && tar -xf - -C "$1"', "sh", f"m/upper/{target.strip('/')}"]
        as_mapped_root(self.config, command, own=True, stdin=buffer.getvalue(), cwd=self.folder)

    def read_file(self, path: str) -> bytes:
        """The contents of a regular file that was written inside.

        Raises
        ------
        ContainerError
            It is not there or cannot be read, is not a regular file, or a link is on the way.
        """
        with open(open_file(self.upper, path), "rb") as file:
            return file.read()

    def names(self, path: str) -> list[str]:
        """The names in a folder that was written to inside, sorted; raises as `read_file`."""
        folder = open_folder(self.upper, path)
        try:
            return sorted(os.listdir(folder))
        finally:
            os.close(folder)

    def keep(self, path: str, target: Path) -> None:
        """Move a folder that was written inside to `target` and make it ours; what was at `target` is removed.

        Raises
        ------
        ContainerError
            The folder is not there, or a link is on the way.
        """
        check_folder(self.upper, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        # chown follows no link and takes set-user-id bits away.
        script = 'rm -rf "$2" && chown -hR 65536:65536 "$1" && chmod -R u+rwX,go-w "$1" && mv "$1" "$2"'
        source = f"m/upper/{path.strip('/')}"
        as_mapped_root(self.config, ["sh", "-c", script, "sh", source, target], own=True, cwd=self.folder)

    def _check(self) -> None:
        for path in (*self.layers, *(bind.source for bind in self.binds)):
            if not path.exists():
                raise ContainerError(f"{path} is not there, and a container needs it")
        place = str(self.config.store)
        if any(letter in place for letter in ":,\\\n \t"):
            raise ContainerError(f"the store is at {place!r}", hint="set MERE_STORE to a path without : , \\ or blanks")
        if not 0 < len(self.layers) <= _MOST_LAYERS or len(place) > _LONGEST_PATH:
            hint = f"layers: from 1 to {_MOST_LAYERS}; path of the store: at most {_LONGEST_PATH} characters"
            raise ContainerError(f"a root of {len(self.layers)} layers in the store {place}", hint=hint)

    def _rootfs(self) -> str:
        # LXC wants a slash in front, and mounts with our folder as its current one.
        lower = [str(self.folder / "0"), *map(str, range(1, len(self.layers)))]
        return f"overlayfs:{':'.join(lower)}:{self.upper}"

    def _settings(self, cwd: str) -> list[str]:
        ids = id_range(self.config)
        try:
            fixed = (self.config.recipes / _FIXED).read_text().splitlines()
        except OSError as error:
            hint = f"git checkout recipes/{_FIXED}"
            raise ContainerError(f"cannot read recipes/{_FIXED}: {error.strerror}", hint=hint) from None
        lines = [
            *fixed,
            f"lxc.uts.name = {self.name}",
            f"lxc.rootfs.path = {self._rootfs()}",
            f"lxc.idmap = u 0 {ids.uid} {ids.count}",
            f"lxc.idmap = g 0 {ids.gid} {ids.count}",
            f"lxc.init.cwd = {cwd}",
        ]
        lines += [bind.setting for bind in self.binds]
        for name, value in self.environment.items():
            if "\n" in name + value:
                raise ContainerError(f"the environment variable {name!r} has more than one line")
            lines.append(f"lxc.environment = {name}={value}")
        return lines


def _of_root(member: tarfile.TarInfo, folder_mode: int) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = folder_mode if member.isdir() else 0o755 if member.mode & 0o111 else 0o644
    return member


def _escaped(path: str) -> str:
    for letter in "\\ \t\n":
        path = path.replace(letter, f"\\{ord(letter):03o}")
    return path


def _raise_complaints(said: str) -> None:
    """LXC also complains when all is well; only these words mean that there was no container."""
    if "Failed to spawn container" in said or "Failed run an application" in said:
        reasons = [line.rpartition(" - ")[2] for line in said.splitlines() if " ERROR " in line]
        raise ContainerError("the container did not start: " + "; ".join(reasons[:3]), hint=CHECK)
