"""What the host needs, as ``requirements.tsv`` says, and the command that installs it on each distribution."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

#: By family, in the order of the table's columns.
_INSTALL = {
    "debian": "apt-get install -y --no-install-recommends",
    "fedora": "dnf install -y",
    "arch": "pacman -S --needed",
    "alpine": "apk add",
}


def requirements() -> dict[str, dict[str, str]]:
    """The package that makes each probe succeed, by family of distributions."""
    lines = Path(__file__).with_suffix(".tsv").read_text().splitlines()
    rows = [line.split("|") for line in lines if not line.startswith("#")]
    return {probe: dict(zip(_INSTALL, packages, strict=True)) for probe, *packages in rows}


def family(etc: Path = Path("/etc")) -> str:
    """The family that ``os-release`` tells: ``debian``, ``fedora``, ``arch``, ``alpine``, or empty when unknown."""
    try:
        pairs = (line.partition("=") for line in (etc / "os-release").read_text().splitlines())
        fields = {name: shlex.split(value) for name, _, value in pairs}
    except (OSError, ValueError):
        return ""
    names = " ".join([*fields.get("ID", ()), *fields.get("ID_LIKE", ())]).split()
    return next((name for name in names if name in _INSTALL), "")


def install_command(probes: Iterable[str], etc: Path = Path("/etc")) -> str:
    """The command that installs what makes these probes succeed."""
    kind, table = family(etc), requirements()
    packages = " ".join(sorted({table[probe][kind or "debian"] for probe in probes}))
    if not kind:
        return f"install what your distribution calls: {packages}"
    return f"{privilege()}{_INSTALL[kind]} {packages}"


def privilege() -> str:
    """What goes before a command that needs root: nothing for root itself."""
    if os.getuid() == 0:
        return ""
    return "doas " if shutil.which("doas") and not shutil.which("sudo") else "sudo "
