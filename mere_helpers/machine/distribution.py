"""The host's distribution: what its packages are called and how they are installed."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

_INSTALL = {
    "debian": "apt-get install -y --no-install-recommends",
    "fedora": "dnf install -y",
    "arch": "pacman -S --needed",
    "alpine": "apk add",
}

#: Packages whose names differ from the Debian one, by family; all others are called the same everywhere.
_NAMES = {
    "fedora": {
        "xz-utils": "xz", "g++": "gcc-c++ libstdc++-static", "libc6-dev": "glibc-static", "uidmap": "shadow-utils",
        "pkg-config": "pkgconf-pkg-config", "mawk": "gawk", "lxc": "lxc lxc-libs",
    },
    "arch": {
        "xz-utils": "xz", "g++": "gcc", "libc6-dev": "glibc", "uidmap": "shadow", "pkg-config": "pkgconf",
        "mawk": "gawk", "python3": "python",
    },
    "alpine": {
        "xz-utils": "xz", "g++": "g++ libstdc++-dev", "libc6-dev": "musl-dev linux-headers", "uidmap": "shadow-subids",
        "pkg-config": "pkgconf", "mawk": "gawk", "util-linux": "setpriv util-linux-misc",
    },
}  # fmt: skip


def family(etc: Path = Path("/etc")) -> str:
    """The family that ``os-release`` tells: ``debian``, ``fedora``, ``arch``, ``alpine``, or empty when unknown."""
    fields = {}
    try:
        for line in (etc / "os-release").read_text().splitlines():
            name, _, value = line.partition("=")
            fields[name] = " ".join(shlex.split(value))
    except (OSError, ValueError):
        return ""
    names = [fields.get("ID", ""), *fields.get("ID_LIKE", "").split()]
    return next((name for name in names if name in _INSTALL), "")


def install_command(packages: Iterable[str], etc: Path = Path("/etc")) -> str:
    """The command that installs packages, given by their Debian names."""
    kind = family(etc)
    names = _NAMES.get(kind, {})
    wanted = " ".join(sorted({word for package in packages for word in names.get(package, package).split()}))
    if not kind:
        return f"install what your distribution calls: {wanted}"
    return f"{privilege()}{_INSTALL[kind]} {wanted}"


def privilege() -> str:
    """What goes before a command that needs root: nothing for root itself."""
    if os.getuid() == 0:
        return ""
    return "doas " if shutil.which("doas") and not shutil.which("sudo") else "sudo "
