"""Where things are and how much of the machine to use: read from the environment, once, and never changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import MereError
from .marker import SOURCES, STORE, check

#: Every time stamp inside a package: 2024-01-01 00:00:00 UTC, in seconds since 1970.
EPOCH = 1704067200

#: The system we build for.
TARGET = "x86_64-mere-linux-musl"


@dataclass(frozen=True)
class Config:
    """The settings of one run."""

    #: The directory that holds ``recipes/``.
    checkout: Path
    #: Finished builds, logs and work directories; safe to delete, costly to refill.
    store: Path
    #: The cache of verified source files.
    sources: Path
    #: Directories or URLs that are asked for source files first. Not shown: an address may hold a password.
    mirrors: tuple[str, ...] = field(default=(), repr=False)
    #: Never touch the network.
    offline: bool = False
    #: Compilers that may run at once, over all builds together.
    jobs: int = 1
    #: Seconds after which no new build is started; ``None`` is no limit.
    budget_s: float | None = None
    #: A directory or URL with finished builds of someone else, taken in place of building.
    substitutes: str | None = field(default=None, repr=False)
    #: The public key that must have signed them, in base64.
    substitutes_key: str = ""
    #: The C and the C++ compiler of the host that start it all, by name, and what the first says of its version, which
    #: only tells builds apart; ``None`` is gcc and g++.
    compilers: tuple[str, str, str] | None = None
    #: How many of the user's ids for containers are left out at the beginning of the range.
    id_shift: int = 0

    @property
    def recipes(self) -> Path:
        """The folder of all recipes."""
        return self.checkout / "recipes"

    @property
    def work(self) -> Path:
        """The folder in which builds happen, on the same file system as the store."""
        return self.store / "work"

    @property
    def logs(self) -> Path:
        """The folder of the logs of failed builds."""
        return self.store / "logs"


def load_config(environment: Mapping[str, str] | None = None) -> Config:
    """Read the settings from the environment.

    Parameters
    ----------
    environment : mapping, optional
        Used instead of ``os.environ``. It may hold ``MERE_CHECKOUT``, ``MERE_STORE`` (default: ``mere`` in the user's
        cache directory), ``MERE_SOURCES``, ``MERE_MIRRORS`` (separated by spaces), ``MERE_OFFLINE`` (0 or 1),
        ``MERE_JOBS``, ``MERE_BUDGET`` (seconds), ``MERE_SUBSTITUTES`` and ``MERE_SUBSTITUTES_KEY``. A directory that is
        not absolute is one of the checkout: kernels run elsewhere than the command that starts them.

    Raises
    ------
    MereError
        A value is not what its variable is for, for instance a directory with other things in it; or there are no
        recipes in the checkout.
    """
    env = os.environ if environment is None else environment

    checkout = _folder(Path(), env.get("MERE_CHECKOUT") or Path(__file__).parent.parent)
    if not (checkout / "recipes").is_dir():
        raise MereError(f"no recipes in {checkout}", hint="set MERE_CHECKOUT to the folder that holds recipes/")

    cache = Path(env.get("XDG_CACHE_HOME") or "")
    if not cache.is_absolute():
        cache = Path(env["HOME"] if env.get("HOME") else Path.home()) / ".cache"
    store = _folder(checkout, env.get("MERE_STORE") or cache / "mere")
    substitutes = env.get("MERE_SUBSTITUTES")

    config = Config(
        checkout=checkout,
        store=store,
        sources=_folder(checkout, env.get("MERE_SOURCES") or store / "sources"),
        mirrors=tuple(_place(checkout, mirror) for mirror in env.get("MERE_MIRRORS", "").split()),
        offline=_switch(env, "MERE_OFFLINE"),
        jobs=int(_number(env, "MERE_JOBS", minimum=1, whole=True) or os.cpu_count() or 1),
        budget_s=_number(env, "MERE_BUDGET", minimum=0),
        substitutes=_place(checkout, substitutes) if substitutes else None,
        substitutes_key=env.get("MERE_SUBSTITUTES_KEY", ""),
    )
    check(config.store, STORE)
    check(config.sources, SOURCES)
    return config


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment a build starts from: nothing of the caller's, which could leak into a result; `extra` wins."""
    path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    return {"LC_ALL": "C", "TZ": "UTC", "SOURCE_DATE_EPOCH": str(EPOCH), "PATH": path} | extra


def _folder(base: Path, path: str | Path) -> Path:
    return (base / Path(path).expanduser()).resolve()


def _place(base: Path, place: str) -> str:
    return place if "://" in place else str(_folder(base, place))


def _switch(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name, "")
    if value not in ("", "0", "1"):
        raise MereError(f"{name} is {value!r}, which is neither 0 nor 1", hint=f"unset {name}")
    return value == "1"


def _number(env: Mapping[str, str], name: str, *, minimum: float, whole: bool = False) -> float | None:
    value = env.get(name, "")
    if not value:
        return None
    kind = "a whole number" if whole else "a number"
    try:
        number = int(value) if whole else float(value)
    except ValueError:
        number = minimum - 1
    # The comparison is written so that it refuses "nan" too.
    if not minimum <= number < float("inf"):
        raise MereError(f"{name} is {value!r}, which is not {kind} from {minimum:g} up", hint=f"unset {name}")
    return number
