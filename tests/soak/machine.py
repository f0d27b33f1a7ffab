"""What a soak does to the machine, and only to its own view of it: mounts and cgroups of its own, a slow ``rm``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")

#: Set in the process that has mounts of its own.
_ENTERED = "SOAK_ENTERED"

_SLOW_RM = """\
#!/bin/sh
sleep {seconds}
exec {rm} "$@"
"""


def enter_own_mounts(arguments: Sequence[str]) -> bool:
    """Start again with a mount table of our own, which goes when we do; False if we may not have one."""
    if os.getuid():
        return False
    if os.environ.pop(_ENTERED, "") != str(os.getpid()):
        os.environ[_ENTERED] = str(os.getpid())
        unshare = ["unshare", "--mount", "--propagation", "private", "--"]
        os.execvp(unshare[0], [*unshare, sys.executable, "-m", "tests.soak", *arguments])
    return True


@contextmanager
def slow_rm(folder: Path, seconds: float = 0.3) -> Iterator[None]:
    """Make every ``rm`` of the host wait before it begins.

    With mounts of our own it is a file over the real one, which nobody gets around; else one that ``PATH`` finds first,
    which those do not see who start with a clean environment.
    """
    folder.mkdir()
    rm = Path(shutil.which("rm") or "/bin/rm").resolve()
    if os.getuid():
        script, real = folder / "rm", rm
    else:
        script, real = folder / "slow-rm", folder / "real-rm"
        shutil.copy(rm, real)
    script.write_text(_SLOW_RM.format(seconds=seconds, rm=real))
    script.chmod(0o755)
    before = os.environ["PATH"]
    if os.getuid():
        os.environ["PATH"] = f"{folder}:{before}"
    else:
        subprocess.run(["mount", "--bind", script, rm], check=True)
    try:
        yield
    finally:
        os.environ["PATH"] = before
        if not os.getuid():
            subprocess.run(["umount", rm], check=True)


class Groups:
    """Cgroups of our own, so that what a run leaves behind can be told from all else; use it in a ``with`` block."""

    def __init__(self) -> None:
        self._groups: list[Path] = []

    def __enter__(self) -> Groups:
        with suppress(OSError):
            for line in Path("/proc/self/cgroup").read_text().splitlines():
                _, controllers, path = line.split(":", 2)
                for base in [_CGROUPS / name for name in controllers.split(",")] if controllers else [_CGROUPS]:
                    self._enter(base / path.strip("/") / f"soak-{os.getpid()}")
        return self

    def __exit__(self, *_: object) -> None:
        for group in self._groups:
            with suppress(OSError):
                (group.parent / "cgroup.procs").write_text(str(os.getpid()))
        # Processes that were killed hold their group until the kernel has cleared them away.
        until = time.monotonic() + 5
        while any([not _remove(group) for group in self._groups]) and time.monotonic() < until:
            time.sleep(0.1)

    def _enter(self, group: Path) -> None:
        # Not where there are no groups, or where they are not ours to make.
        if not (group.parent / "cgroup.procs").exists():
            return
        with suppress(OSError):
            group.mkdir()
            try:
                (group / "cgroup.procs").write_text(str(os.getpid()))
            except OSError:
                group.rmdir()
                raise
            self._groups.append(group)

    def left(self) -> list[str]:
        """The names of the groups below ours, but for one that LXC makes once and uses again and again."""
        return sorted({below.name for group in self._groups for below in group.rglob("*/")} - {"lxc.pivot"})


def _remove(group: Path) -> bool:
    """Remove a group and those below it; False if somebody is still in one."""
    try:
        for below in (*sorted(group.rglob("*/"), reverse=True), group):
            below.rmdir()
    except OSError:
        return not group.exists()
    return True
