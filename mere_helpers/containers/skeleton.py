"""What is in a sandbox before its first command, as tar archives that the root of sandboxes unpacks."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from .settings import Overlay

#: For programs that ask who they are.
_USERS = {
    "passwd": b"root:x:0:0::/:/bin/sh\nbuilder:x:1000:1000::/:/bin/sh\n",
    "group": b"root:x:0:\nbuilder:x:1000:\n",
}


def skeleton(folders: Sequence[str], overlays: Sequence[Overlay], user: int, *, host: bool) -> bytes:
    """Mount points, empty directories, and above each overlay's layers the directories that can be written to.

    Parameters
    ----------
    folders : sequence of str
        Absolute; made empty, and owned by `user`.
    overlays : sequence of Overlay
        The n-th gets its upper directory at ``on/upper``; the root's is ``upper``.
    user : int
        The user id of the commands.
    host : bool
        Add files that name the users inside; the host's own are nobody's business.
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
    buffer = io.BytesIO()
    owned = partial(_owned, user=user, folder_mode=folder_mode)
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            archive.add(file, arcname=file.name, filter=owned)
    return buffer.getvalue()


def _owned(member: tarfile.TarInfo, user: int, folder_mode: int) -> tarfile.TarInfo:
    member.uid = member.gid = user
    member.uname = member.gname = ""
    member.mode = folder_mode if member.isdir() else 0o755 if member.mode & 0o111 else 0o644
    return member
