"""What apt prints, read: files with their checksums, and complaints."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .address import printable

_URI = re.compile(r"^'([^']+)' (\S+) (\d{1,18}) SHA256:([0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True)
class DebianFile:
    """One file of Debian's archive, as the signed index describes it; `size` is in bytes."""

    address: str
    name: str
    size: int
    sha256: str


def parse_uris(text: str) -> list[DebianFile]:
    """Read what ``apt-get source --print-uris`` prints; lines without a SHA256 are left out."""
    return [DebianFile(address, name, int(size), sha256) for address, name, size, sha256 in _URI.findall(text)]


def apt_message(text: str, address: str = "") -> str:
    """The first complaint in what apt printed, without the address and without control characters."""
    complaints = re.findall(r"^[EW]: *(.*)$", text, re.MULTILINE) or text.strip().splitlines() or ["apt said nothing"]
    message = complaints[0].replace(address, "") if address else complaints[0]
    # The numeric address is another one on each machine.
    return printable(" ".join(re.sub(r"\[IP: [^\]]*\]|Failed to fetch", "", message).split()), 500)
