"""Where Debian's archive is, and how to get there: asked of this machine's apt, so that no address is written here.

A source package has its path from its name and version. What is there is not believed: the pin says what is right.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ..planning.recipe import Source
from .address import is_web

#: A part ``main`` of a release of Debian's, in what apt would fetch; many publishers have releases of the same names.
_INDEX = re.compile(
    r"^'([^']+?)/*/dists/(?:bullseye|bookworm|trixie|forky|sid|oldstable|stable|testing|unstable)"
    r"(-security|-updates)?/main/",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Debian:
    """Debian's archives as this machine's apt knows them, best first, and where the packages of each are.

    `proxies` are those of apt, ``None`` if it has none of its own; `problem` says why Debian cannot be asked.
    """

    archives: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    proxies: dict[str, str] | None = None
    problem: str = ""


def ask_apt() -> Debian:
    """Ask the machine's apt for Debian's archives, and for the proxy that it would use."""
    if not shutil.which("apt-get"):
        return Debian(problem="this host has no apt")
    # Nothing is fetched; it is what would be, and needs neither root nor an index.
    found = {
        address: part == "-security"
        for entry, part in _INDEX.findall(_answer("apt-get", "update", "--print-uris"))
        for address in _addresses(entry)
    }
    archives = tuple(sorted(found, key=lambda address: (found[address], "debian" not in address.rsplit("/", 1)[-1])))
    if not archives:
        return Debian(problem="the apt entries of this host name no Debian archive")
    pools = tuple(f"{address}/pool/{'updates/main' if found[address] else 'main'}" for address in archives)
    return Debian(archives, pools, _proxies(archives[0]))


def pool_paths(source: Source, package: str) -> list[str]:
    """Where a file of a source package, ``NAME=VERSION``, may be below ``pool/main``; the surest first.

    The Debian revision has no part in the path: a new one keeps its upstream file.
    """
    name, _, version = package.partition("=")
    # Debian's archive sorts by the first letter, and libraries by the one behind "lib", too.
    folder = f"{name[:4] if name.startswith('lib') else name[:1]}/{name}"
    upstream = re.sub(r"^\d+:|-[^-]*$", "", version)
    packed = re.search(r"\.tar\.\w+$", source.name)
    if packed and upstream in source.name and not source.name.startswith(f"{name}_"):
        return [f"{folder}/{name}_{upstream}.orig{packed[0]}", f"{folder}/{source.name}"]
    return [f"{folder}/{source.name}"]


def _addresses(entry: str) -> list[str]:
    """The addresses of an entry of apt's, which may name a file with a list of mirrors."""
    path = entry.removeprefix("mirror+file:")
    if path == entry:
        return [entry] if is_web(entry) else []
    lines = Path(path).read_text().splitlines() if Path(path).is_file() else []
    return [words[0].rstrip("/") for line in lines if (words := line.split()) and is_web(words[0])]


def _proxies(address: str) -> dict[str, str] | None:
    scheme = urlsplit(address).scheme
    settings = _answer("apt-config", "dump", "--format", "%f %v%n", "Acquire")
    # The first is for this host alone, or comes from a program that finds it.
    found = re.findall(r"^Using proxy '([^']+)'", _answer("/usr/lib/apt/apt-helper", "auto-detect-proxy", address))
    for name in (scheme, "http"):
        found += re.findall(rf"^Acquire::{name}::Proxy (\S+)$", settings, re.MULTILINE | re.IGNORECASE)
    if not found:
        return None
    return {} if found[0] == "DIRECT" else {"http": found[0], "https": found[0]}


def _answer(*command: str) -> str:
    with suppress(OSError, subprocess.TimeoutExpired):
        environment = os.environ | {"LC_ALL": "C"}
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=30)
        return done.stdout.decode(errors="replace")
    return ""
