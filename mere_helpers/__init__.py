"""mere: a small musl system, built from source by the chapters of a book.

The notebooks import their words from here; each is a function of one of the six modules below.
"""

from .reading import evidence, instead, interactive, looking, pictures, vocabulary
from .reading.evidence import *  # noqa: F403
from .reading.instead import *  # noqa: F403
from .reading.interactive import *  # noqa: F403
from .reading.looking import *  # noqa: F403
from .reading.pictures import *  # noqa: F403
from .reading.vocabulary import *  # noqa: F403

__all__ = [
    name for module in (vocabulary, looking, evidence, pictures, instead, interactive) for name in module.__all__
]
