"""What the words that a probe has printed mean; see probe.c for them."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

#: A call that ends so has been refused before the kernel looked at what was asked; any other end is surface.
_REFUSED = {
    "EPERM", "EACCES", "ENOSYS", "ENOENT", "ENODEV", "ENXIO", "EROFS", "EAFNOSUPPORT", "EPROTONOSUPPORT",
    "ESOCKTNOSUPPORT", "ESRCH", "EOPNOTSUPP", "ENOKEY", "ECONN_REFUSED", "SIGNAL31",
}  # fmt: skip

#: null, zero, full, random, urandom, tty, console (a terminal of the sandbox's own there), ptmx.
_HARMLESS = {"1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:1", "5:2"}


_SECRET = re.compile(r"mere-secret-(\w+)-")


def reached(said: str) -> list[str]:
    """What a probe has reached by its own account: secrets, calls of the kernel, files and devices."""
    found = [f"read the secret of {kind}" for kind in sorted(set(_SECRET.findall(said)))]
    for line in re.split(r"[\n\f]", said):
        match = re.fullmatch(r"= (?:ok (-?\d+)|(\w+))", line.strip())
        if match and match[2] not in _REFUSED:
            found.append(f"a call that came through: {line.strip()}")
        if match := re.fullmatch(r"@ (\S+) (\d+) (\S+) (\w+) (.+)", line.strip()):
            found += _opened(*match.groups())
    return found


def _opened(device: str, inode: str, node: str, mode: str, path: str) -> list[str]:
    with suppress(OSError):
        here = os.stat(path)
        same = f"{os.major(here.st_dev)}:{os.minor(here.st_dev)} {here.st_ino}" == f"{device} {inode}"
        if same and (mode != "r" or node.startswith("136:")):
            return [f"opened {path} of the host ({mode})"]
    if path.startswith(("/proc/", "/sys/")):
        return [f"opened {path} ({mode})"]
    if node != "0:0" and node not in _HARMLESS and not node.startswith("136:"):
        return [f"opened the device {node} ({path})"]
    return []


def running(verb: bytes) -> list[int]:
    """The processes of the probe that do this."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if len(words) == 3 and words[0].endswith(b"probe") and words[1] == verb:
                found.append(int(path.parent.name))
    return found
