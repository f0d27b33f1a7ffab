"""Where Debian's archive is: read from the machine's own apt entries, so that no address is written down here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

#: The suites whose sources we look at. A ``-security`` suite lives in an archive of its own.
SUITES = ("bookworm", "bookworm-security", "trixie", "trixie-updates", "trixie-security", "forky", "sid")

#: Debian's keys, for entries that name none.
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_RELEASE = re.compile(
    r"(bullseye|bookworm|trixie|forky|sid|oldstable|stable|testing|unstable)(?P<part>-security|-updates)?"
)
_LINE = re.compile(
    r"deb(?:-src)?\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<address>\S+)\s+(?P<suite>\S+)\s+(?P<components>[^#]*)"
)
_FIELD = re.compile(r"^([\w-]+):((?:.*)(?:\n[ \t].*)*)", re.MULTILINE)


@dataclass(frozen=True)
class Archive:
    """Where a Debian archive is, from the machine's apt entries; `signed_by` is a key ring or empty."""

    address: str
    signed_by: str
    security: bool


def machine_archives(etc: Path = Path("/etc/apt")) -> list[Archive]:
    """The Debian archives named by the machine's apt entries, best first; entries of other publishers are left out.

    Parameters
    ----------
    etc : Path, optional
        The folder that holds ``sources.list`` (one line an entry) and ``sources.list.d/``.
    """
    parts = etc / "sources.list.d"
    found: dict[Archive, None] = {}
    for path in (etc / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))):
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        read = _read_deb822 if path.suffix == ".sources" else _read_lines
        found |= dict.fromkeys(read(text))
    # An entry without a key ring of its own may be anybody's. apt would refuse it, but the better guess goes first.
    return sorted(found, key=lambda found: (not found.signed_by, "debian" not in found.address.rsplit("/", 1)[-1]))


def deb822_entries(archives: list[Archive], kind: str = "deb-src", suites: Sequence[str] = SUITES) -> str:
    """The entries for these suites, in apt's deb822 format; `kind` is ``deb-src`` or ``deb``."""
    main = next((archive for archive in archives if not archive.security), None)
    security = next((archive for archive in archives if archive.security), None)
    entries = []
    for suite in suites:
        archive = security if suite.endswith("-security") else main
        if archive is not None:
            entries.append(
                f"Types: {kind}\nURIs: {archive.address}\nSuites: {suite}\nComponents: main\n"
                f"Signed-By: {archive.signed_by or KEYRING}\n"
            )
    return "\n".join(entries)


def _read_lines(text: str) -> Iterator[Archive]:
    for line in text.splitlines():
        if match := _LINE.match(line):
            keys = re.search(r"signed-by=(\S+)", match["options"] or "")
            components = match["components"].split()
            yield from _archives(match["address"], [match["suite"]], components, keys[1] if keys else "")


def _read_deb822(text: str) -> Iterator[Archive]:
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", plain):
        fields = {name.lower(): value.strip() for name, value in _FIELD.findall(stanza)}
        if fields.get("enabled", "yes").lower() == "no":
            continue
        keys = fields.get("signed-by", "")
        # A key written into the entry itself would have to be copied; Debian's own key ring does as well.
        keys = "" if "BEGIN PGP" in keys else keys
        for address in fields.get("uris", "").split():
            yield from _archives(address, fields.get("suites", "").split(), fields.get("components", "").split(), keys)


def _archives(address: str, suites: list[str], components: list[str], keys: str) -> Iterator[Archive]:
    # Many publishers name their suites after Debian's, but not with Debian's keys.
    if "main" not in components or urlsplit(address).scheme == "cdrom" or (keys and "debian-archive" not in keys):
        return
    for suite in suites:
        if match := _RELEASE.fullmatch(suite):
            yield Archive(address.rstrip("/"), keys, security=match["part"] == "-security")
