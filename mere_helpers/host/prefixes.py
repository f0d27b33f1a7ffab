"""Where the Python that runs us is installed: meson and ninja, which some steps call, are beside it."""

from __future__ import annotations

import sys
from pathlib import Path


def python_prefixes() -> list[Path]:
    """The directories of this Python and of its virtual environment that are not below /usr."""
    # Under both names where one of them leads through a link: scripts name their interpreter by either.
    prefixes = {Path(prefix) for prefix in (sys.base_prefix, sys.prefix)}
    prefixes |= {prefix.resolve() for prefix in prefixes}
    return [prefix for prefix in sorted(prefixes) if not prefix.is_relative_to("/usr")]
