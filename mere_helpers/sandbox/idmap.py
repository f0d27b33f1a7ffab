"""The ids of containers: which of the host's powerless ids stand for root inside, and how to act as that root."""

from __future__ import annotations

import os
import pwd
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config import Config, clean_environment
from ..errors import ContainerError

#: As many ids as a system has in ordinary use, 0 to 65535; the next one is ours, where files are handed over.
COUNT = 65536

#: What this process has closed to others, for which root of containers, and the inode number.
_PRIVATE: set[tuple[Path, int, int]] = set()

CHECK = "python -m mere_helpers check   # tells whether this host lets us make containers"


@dataclass(frozen=True)
class IdRange:
    """The host's ids, `uid` and `gid` and those that follow, that stand for 0 to `count` - 1 inside."""

    uid: int
    gid: int
    count: int = COUNT


def id_range(config: Config, *, folder: Path = Path("/etc")) -> IdRange:
    """The range of ids that this user may give to containers, from ``subuid`` and ``subgid`` in `folder`.

    The first ``id_shift`` of them are left out.

    Raises
    ------
    ContainerError
        There is no range of 65,536 ids.
    """
    shift = config.id_shift
    return IdRange(_start(folder / "subuid") + shift, _start(folder / "subgid") + shift, COUNT - shift)


def as_mapped_root(
    config: Config, command: Sequence[str | Path], *, own: bool = False, stdin: bytes = b"", cwd: Path = Path("/")
) -> str:
    """Run a program of the host as the root of our containers, but without a container; returns what it printed.

    Parameters
    ----------
    own : bool, optional
        As for `mapped_root_command`.
    stdin : bytes, optional
        What the program reads.

    Raises
    ------
    ContainerError
        The program failed; the message ends with what it said last.
    """
    # lxc-usernsexec ends with 0 when a signal has killed its program, so the program's status comes as the last line.
    end = secrets.token_hex(8)
    script = '"$@"; status=$?; echo "$0 $status" >&2; exit $status'
    try:
        done = subprocess.run(
            mapped_root_command(config, ["sh", "-c", script, end, *command], own=own),
            input=stdin,
            capture_output=True,
            cwd=cwd or "/",
            env=clean_environment(),
        )
    except FileNotFoundError as error:
        raise ContainerError(f"{error.filename} is missing", hint=CHECK) from error
    said, ended, status = done.stderr.decode(errors="replace").rpartition(f"{end} ")
    if not ended:
        said, status = f"{status}\nit was killed", "a signal"
    if done.returncode != 0 or status.strip() != "0":
        said = (said or done.stdout.decode(errors="replace")).strip()[-2000:]
        raise ContainerError(f"{command[0]} failed as the root of containers: {said or status.strip()}", hint=CHECK)
    return done.stdout.decode(errors="replace")


def mapped_root_command(config: Config, command: Sequence[str | Path], *, own: bool = False) -> list[str]:
    """The words that run a program of the host as the root of our containers.

    With `own` we, the user outside, appear as id 65536, so that files can be handed over in both directions: only for
    programs that do not look at what a build has left.
    """
    ids = id_range(config)
    maps = ["-m", f"u:0:{ids.uid}:{ids.count}", "-m", f"g:0:{ids.gid}:{ids.count}"]
    if own:
        maps += ["-m", f"u:{COUNT}:{os.getuid()}:1", "-m", f"g:{COUNT}:{os.getgid()}:1"]
    return ["lxc-usernsexec", *maps, "--", *map(str, command)]


def make_private(config: Config, folder: Path) -> None:
    """Make a directory that nobody may pass but us and the root of containers: programs in there may be set-user-id."""
    folder.mkdir(parents=True, exist_ok=True)
    status, uid = folder.stat(), id_range(config).uid
    if (folder, uid, status.st_ino) in _PRIVATE or status.st_uid != os.getuid():
        return
    if status.st_mode & 0o007:
        folder.chmod(0o700)
    command = ["setfacl", "-m", f"u:{uid}:--x", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, env=clean_environment())
    except (OSError, subprocess.CalledProcessError):
        # Without access control lists, everybody may pass or nobody.
        folder.chmod(0o755)
    _PRIVATE.add((folder, uid, status.st_ino))


def _start(file: Path) -> int:
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    try:
        lines = file.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        owner, _, numbers = line.strip().partition(":")
        start, _, count = numbers.partition(":")
        if owner in (name, str(os.getuid())) and start.isdigit() and count.isdigit() and int(count) >= COUNT:
            return int(start)
    taken = [line.split(":") for line in lines if line.count(":") == 2]
    free = max([100000, *(int(start) + int(count) for _, start, count in taken if (start + count).isdigit())])
    raise ContainerError(
        f"no range of {COUNT} ids for {name} in {file}", hint=f"echo {name}:{free}:{COUNT} | sudo tee -a {file}"
    )
