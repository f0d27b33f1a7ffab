"""What a sandbox is made of: the lines that LXC gets, and what is inside before the first command, as tar archives."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config import Config
from ..errors import ContainerError
from .idmap import id_range

#: Among the recipes: what all sandboxes have, what those have whose commands are confined, which system calls are
#: refused to these, and what is seen of a host whose programs are used.
ALL, CONFINED, SECCOMP, HOST = "container.conf", "confined.conf", "seccomp.conf", "host.conf"

#: For programs that ask who they are.
_USERS = {
    "passwd": b"root:x:0:0::/:/bin/sh\nbuilder:x:1000:1000::/:/bin/sh\n",
    "group": b"root:x:0:\nbuilder:x:1000:\n",
}


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
        found = {}
        for layer in reversed(self.layers):
            for folder, names, _ in os.walk(layer):
                for path in (Path(folder, name) for name in names):
                    if not path.is_symlink():
                        found[str(path.relative_to(layer))] = path.stat().st_mode & 0o7777
        return found


def settings(config: Config, *, host: bool, confined: bool) -> list[str]:
    """The lines for LXC that do not depend on the single sandbox.

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


def skeleton(folders: Sequence[str], overlays: Sequence[Overlay], user: int, *, host: bool) -> bytes:
    """Mount points, empty directories of `user`, and above each overlay's layers directories that can be written to.

    The n-th overlay gets its upper directory at ``on/upper``; the root's is ``upper``. With the host's programs there
    are files that name the users inside; the host's own are nobody's business.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:

        def add(name: str, owner: int = 0, mode: int = 0o755) -> None:
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.uid, member.gid = tarfile.DIRTYPE, mode, owner, owner
            archive.addfile(member)

        for name in ("", "/dev", "/proc", "/sys"):
            add(f"upper{name}")
        add("upper/tmp", mode=0o1777)
        for name, text in _USERS.items() if host else ():
            member = tarfile.TarInfo(f"upper/etc/{name}")
            member.size, member.mode = len(text), 0o644
            archive.addfile(member, io.BytesIO(text))
        for name in folders:
            add(f"upper/{name.strip('/')}", user)
        for number, overlay in enumerate(overlays):
            add(f"upper/{overlay.target.strip('/')}", user)
            add(f"o{number}")
            add(f"o{number}/work")
            add(f"o{number}/upper", user)
            # Directories of the layers belong to somebody who is not mapped; with these above them they can be written
            # to. Files stay as they are: they can be replaced, and not changed.
            for name, mode in sorted(overlay.directories().items()):
                add(f"o{number}/upper/{name}", user, mode | 0o700)
    return buffer.getvalue()


def packed(files: Iterable[Path], user: int, folder_mode: int) -> bytes:
    """Files and directories of the host, with all that is in them, to be owned by `user`."""

    def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = user
        member.uname = member.gname = ""
        member.mode = folder_mode if member.isdir() else 0o755 if member.mode & 0o111 else 0o644
        return member

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            archive.add(file, arcname=file.name, filter=owned)
    return buffer.getvalue()


def _read(config: Config, name: str) -> list[str]:
    try:
        return (config.recipes / name).read_text().splitlines()
    except OSError as error:
        hint = f"git checkout recipes/{name}"
        raise ContainerError(f"cannot read recipes/{name}: {error.strerror}", hint=hint) from None


def _escaped(path: str) -> str:
    for letter in "\\ \t\n":
        path = path.replace(letter, f"\\{ord(letter):03o}")
    return path
