"""mere: a small musl system, built from source by the chapters of a book.

The notebooks import their words from here; each is a function of one of the five modules below.
"""

from .reading import evidence, instead, interactive, pictures, vocabulary
from .reading.evidence import *  # noqa: F403
from .reading.instead import *  # noqa: F403
from .reading.interactive import *  # noqa: F403
from .reading.pictures import *  # noqa: F403
from .reading.vocabulary import *  # noqa: F403

__all__ = [*vocabulary.__all__, *evidence.__all__, *pictures.__all__, *instead.__all__, *interactive.__all__]
