"""What LXC is told about a sandbox: files of ``recipes/`` that are the same for all, and lines for what differs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config import Config
from ..errors import ContainerError
from .idmap import id_range

#: Among the recipes: what all sandboxes have, what those have whose commands are confined, which system calls are
#: refused to these, and what is seen of a host whose programs are used.
ALL, CONFINED, SECCOMP, HOST = "container.conf", "confined.conf", "seccomp.conf", "host.conf"


@dataclass(frozen=True)
class Bind:
    """A file or directory of the host, seen at `target` (absolute) inside."""

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
class Overlay:
    """Directories of the host, topmost first, seen as one at `target` (absolute) inside; there it can be written to."""

    layers: Sequence[Path]
    target: str

    def directories(self) -> dict[str, int]:
        """The modes of all directories below the top, by relative name."""
        return dict(pair for layer in reversed(self.layers) for pair in _directories(layer))


def settings(config: Config, *, host: bool, confined: bool) -> list[str]:
    """The lines for LXC that do not depend on the single sandbox.

    Parameters
    ----------
    config : Config
        Where the recipes are.
    host : bool
        Show the host's programs.
    confined : bool
        Drop capabilities and refuse system calls.

    Raises
    ------
    ContainerError
        One of the files cannot be read, or the user has no range of ids.
    """
    lines = _read(config, ALL)
    if confined:
        _read(config, SECCOMP)
        lines += [*_read(config, CONFINED), f"lxc.seccomp.profile = {config.recipes / SECCOMP}"]
    if host:
        lines += _read(config, HOST)
    ids = id_range(config)
    return [*lines, f"lxc.idmap = u 0 {ids.uid} {ids.count}", f"lxc.idmap = g 0 {ids.gid} {ids.count}"]


def mounts_script(folder: Path, overlays: Sequence[Overlay]) -> str:
    """What LXC runs to mount the overlays; in its own mount entries it would drop the option ``userxattr``."""
    lines = [f"cd {folder} || exit"]
    for number, overlay in enumerate(overlays):
        lower = ":".join(f"o{number}/{index}" for index in range(len(overlay.layers)))
        options = f"userxattr,lowerdir={lower},upperdir=m/o{number}/upper,workdir=m/o{number}/work"
        target = f'"$LXC_ROOTFS_MOUNT"/{overlay.target.strip("/")}'
        lines.append(f"mount -t overlay overlay -o {options} {target} || exit")
    return "".join(f"{line}\n" for line in lines)


def _read(config: Config, name: str) -> list[str]:
    try:
        return (config.recipes / name).read_text().splitlines()
    except OSError as error:
        hint = f"git checkout recipes/{name}"
        raise ContainerError(f"cannot read recipes/{name}: {error.strerror}", hint=hint) from None


def _directories(tree: Path) -> Iterator[tuple[str, int]]:
    for folder, folders, _ in os.walk(tree):
        for name in folders:
            path = Path(folder, name)
            if not path.is_symlink():
                yield str(path.relative_to(tree)), path.stat().st_mode & 0o7777


def _escaped(path: str) -> str:
    for letter in "\\ \t\n":
        path = path.replace(letter, f"\\{ord(letter):03o}")
    return path
