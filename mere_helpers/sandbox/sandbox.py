"""Sandboxes: whatever runs or unpacks upstream code does it in one of these, and it is gone when its block ends.

A sandbox is an unprivileged LXC container: a throw-away root made of read-only layers, no network but its own loopback,
no process, socket or file of the host beyond what is listed, and a root user who is nobody outside. All that belongs to
one sandbox is in one directory of the store.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from ..config import Config, clean_environment
from ..errors import ContainerError
from ..process import Result, follow
from .idmap import CHECK, as_mapped_root
from .layout import Bind, Overlay, mounts_script, packed, settings, skeleton
from .lease import claim, lxc_environment, release
from .limits import Limits, remove_groups
from .orphans import Orphans
from .untrusted import check_folder, open_file, open_folder, remove_attributes

__all__ = ["BUILDER", "Bind", "Overlay", "Result", "Sandbox"]

#: The ordinary user inside, without any capability, as whom the steps and the cells run.
BUILDER = 1000

#: With these, the mount options of the root fit into one page, which is all the kernel takes.
_MOST_LAYERS, _LONGEST_PATH = 400, 500

_KILLED = "start again; if nobody has killed it, see whether memory ran out: dmesg | grep -i oom"


_OUT_OF_MEMORY = "there was no memory left, and the kernel ended a process of this machine"


class Sandbox:
    """A sandbox; use it in a ``with`` block.

    Parameters
    ----------
    config : Config
        Its `store` gets the sandbox's directory; the LXC settings are among its `recipes`.
    layers : sequence of Path
        The directories that make the root, topmost first; they are never written to. None is an empty root.
    name : str, optional
        The host name inside.
    host : bool, optional
        Show the host's programs, read-only: what ``recipes/host.conf`` lists, and nothing else of the host.
    environment : mapping, optional
        The whole environment of commands; the default is a clean one.
    folders : sequence of str, optional
        Absolute; made empty, and owned by `user`.
    user : int, optional
        The user id of the commands: 0 or, where setpriv can be found inside, `BUILDER`.
    confined : bool, optional
        Without it the commands keep all capabilities of a container's root, and no system call is refused: for showing
        what the namespaces alone do. Nothing is ever built like this.
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
        host: bool = False,
        binds: Sequence[Bind] = (),
        overlays: Sequence[Overlay] = (),
        environment: Mapping[str, str] | None = None,
        folders: Sequence[str] = (),
        user: int = 0,
        confined: bool = True,
        stop: threading.Event | None = None,
    ) -> None:
        self.config, self.layers, self.name = config, layers, name
        self.host, self.user, self.confined = host, user, confined
        self.binds, self.overlays, self.folders = binds, overlays, folders
        self.environment = clean_environment(PATH="/usr/bin:/bin") if environment is None else environment
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
            # One page is all there is for the names of the layers, so they get short ones, relative to our directory.
            _name_layers(self.folder, self.layers)
            for number, overlay in enumerate(self.overlays):
                _name_layers(self.folder / f"o{number}", overlay.layers)
            if not self.layers:
                (self.folder / "0").mkdir()
            (self.folder / "m").mkdir()
            (self.folder / "mounts").write_text(mounts_script(self.folder, self.overlays))
            # The root inside must own its root directory, and the one in which overlayfs puts its work directory.
            script = "umask 022 && chown 0:0 m && tar -xpf - -C m --numeric-owner"
            first = skeleton(self.folders, self.overlays, self.user, host=self.host)
            as_mapped_root(self.config, ["sh", "-c", script], own=True, stdin=first, cwd=self.folder)
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
        log : Path, optional
            A file that outlives the container.
        timeout : float, optional
            Seconds after which everything inside is killed.

        Raises
        ------
        ContainerError
            The container could not be started.
        """
        self._ran = True
        name, conf = self.folder.name, self.folder / "conf"
        complaints = self.folder / "lxc.log"
        complaints.unlink(missing_ok=True)
        orphans = Orphans()
        with open(log or self.folder / "log", "ab", buffering=0) as writer, Limits() as limits:
            conf.write_text("".join(f"{line}\n" for line in [*self._settings(cwd), *limits.settings]))
            words = ["lxc-execute", "-P", str(self.folder), "-n", name, "-f", str(conf), "-o", str(complaints)]
            result = follow(
                [*words, "-l", "ERROR", "--", *self._as_user(), *command],
                writer,
                cwd=self.folder,
                environment=lxc_environment(self.folder),
                timeout=timeout,
                stop=self._stop,
                pulse=limits.sample,
                watch=orphans.watch,
                disk=self.config.store,
            )
        if result.reason or orphans.died:
            # LXC itself may have been killed.
            remove_groups(name)
        if orphans.died:
            raise ContainerError("the first process of a container was killed while it started", hint=_KILLED)
        if result.code and not result.reason and complaints.exists():
            _raise_complaints(complaints.read_text(errors="replace"))
        reason = result.reason or (_OUT_OF_MEMORY if result.code and limits.lost_a_process() else "")
        return replace(result, reason=reason, peak_bytes=max(limits.peak_bytes, result.peak_bytes))

    def copy_in(self, files: Iterable[Path], target: str, *, private: bool = False) -> None:
        """Copy files and directories of the host into the directory `target` (absolute); they belong to `user`.

        Parameters
        ----------
        target : str
            Made if it is not there.
        private : bool, optional
            Only their owner may enter the directories, whoever else there is on the host.

        Raises
        ------
        ContainerError
            A command has run already: it may have left links that lead out of the container.
        """
        if self._ran:
            raise ContainerError("files go into a container before its first command", hint="call copy_in before run")
        script = 'umask 022 && mkdir -p "$1" && tar -xpf - -C "$1" --numeric-owner'
        command = ["sh", "-c", script, "sh", f"m/upper/{target.strip('/')}"]
        files_in = packed(files, self.user, 0o700 if private else 0o755)
        as_mapped_root(self.config, command, own=True, stdin=files_in, cwd=self.folder)

    def read_file(self, path: str) -> bytes:
        """The contents of a regular file that was written inside; raises as `open_file`."""
        with open(open_file(self.upper, path), "rb") as file:
            return file.read()

    def names(self, path: str) -> list[str]:
        """The names in a directory that was written to inside, sorted; raises as `open_file`."""
        folder = open_folder(self.upper, path)
        try:
            return sorted(os.listdir(folder))
        finally:
            os.close(folder)

    def keep(self, path: str, target: Path) -> None:
        """Move a directory that was written inside to `target` for people to look at; what was there is removed.

        It becomes ours, readable for us, and no file in it changes its user. A ``.git`` is renamed: what a build wrote
        into one could run as soon as somebody's prompt looks at it.

        Raises as `check_folder`.
        """
        script = """
            rm -rf "$2"
            find "$1" -depth -name .git -exec mv {} {}-kept \\;
            chmod -R u+rwX,go-w,a-s "$1"
            sync -f "$1"
        """
        self._hand_over(script, path, target)

    def take(self, path: str, target: Path) -> None:
        """Move a directory that was written inside to `target`, which is empty or not there yet: the result of a build.

        It becomes ours. Modes stay, but that no file changes its user, that nobody else may write, and that we can look
        into every directory. Attributes, which could hide files of other layers, are removed.

        Raises as `check_folder`.
        """
        script = """
            find "$1" -type d ! -perm -500 -exec chmod u+rx {} \\;
            find "$1" ! -type l -perm /7022 -exec chmod a-s,-t,go-w {} +
        """
        self._hand_over(script, path, target)
        remove_attributes(target)

    def _hand_over(self, script: str, path: str, target: Path) -> None:
        check_folder(self.upper, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        # chown follows no link.
        command = f'set -e; {script}\nchown -hR 65536:65536 "$1"; mv -T "$1" "$2"'
        source = f"m/upper/{path.strip('/')}"
        as_mapped_root(self.config, ["sh", "-c", command, "sh", source, target], own=True, cwd=self.folder)

    def _check(self) -> None:
        seen = [layer for overlay in self.overlays for layer in overlay.layers]
        for path in (*self.layers, *(bind.source for bind in self.binds), *seen):
            if not path.exists():
                raise ContainerError(f"{path} is not there, and a sandbox needs it")
        place = str(self.config.store)
        if any(letter in place for letter in ":,\\\n \t"):
            raise ContainerError(f"the store is at {place!r}", hint="set MERE_STORE to a path without : , \\ or blanks")
        if len(self.layers) > _MOST_LAYERS or len(place) > _LONGEST_PATH:
            hint = f"layers: at most {_MOST_LAYERS}; path of the store: at most {_LONGEST_PATH} characters"
            raise ContainerError(f"a root of {len(self.layers)} layers in the store {place}", hint=hint)

    def _as_user(self) -> list[str]:
        # Not by a setting of LXC: its first process would change the user, and then no longer die with us.
        ids = [f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"]
        return ["setpriv", *ids, "--"] if self.user else []

    def _settings(self, cwd: str) -> list[str]:
        # LXC wants a slash in front, and mounts with our directory as its current one.
        lower = [str(self.folder / "0"), *map(str, range(1, len(self.layers)))]
        lines = [
            *settings(self.config, host=self.host, confined=self.confined),
            f"lxc.uts.name = {self.name}",
            f"lxc.rootfs.path = overlayfs:{':'.join(lower)}:{self.upper}",
            f"lxc.init.cwd = {cwd}",
        ]
        lines += [bind.setting for bind in self.binds]
        if self.overlays:
            lines.append(f"lxc.hook.mount = sh {self.folder / 'mounts'}")
        for name, value in self.environment.items():
            if "\n" in name + value:
                raise ContainerError(f"the environment variable {name!r} has more than one line")
            lines.append(f"lxc.environment = {name}={value}")
        return lines


def _name_layers(folder: Path, layers: Sequence[Path]) -> None:
    folder.mkdir(exist_ok=True)
    for number, layer in enumerate(layers):
        (folder / str(number)).symlink_to(layer)


def _raise_complaints(said: str) -> None:
    """LXC also complains when all is well; only these words mean that there was no container."""
    if "Failed to spawn container" in said or "Failed run an application" in said:
        reasons = [line.rpartition(" - ")[2] for line in said.splitlines() if " ERROR " in line]
        raise ContainerError("the container did not start: " + "; ".join(reasons[:3]), hint=CHECK)
