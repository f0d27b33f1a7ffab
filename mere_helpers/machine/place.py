"""Where a step sees its folder. Some of what steps make holds the path, so it is the same wherever that is possible."""

from __future__ import annotations

import sys
from pathlib import Path

from ..config import Config
from ..errors import HostError

#: The first that exists and hides nothing which a step needs.
_PLACES = ("/mnt", "/srv", "/media", "/opt")

#: The one at which the steps were built whose sums the book shows.
USUAL = _PLACES[0]


def place_of_steps(config: Config) -> str:
    """The folder of this host over which a step's own is mounted; only the step sees that.

    Raises
    ------
    HostError
        There is none.
    """
    needed = [config.store, config.sources, Path(sys.prefix), Path(sys.base_prefix)]
    for place in map(Path, _PLACES):
        if place.is_dir() and not any(path.is_relative_to(place) for path in needed):
            return str(place)
    places = ", ".join(_PLACES)
    raise HostError("no folder to mount a build at", hint=f"one of {places} must exist, and not hold the store")
