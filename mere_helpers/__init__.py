"""mere: a small musl system, built from source by the chapters of a book.

The notebooks import their vocabulary from here; each word is a function of `mere_helpers.reading.vocabulary`.
"""

from .reading.vocabulary import *  # noqa: F403
from .reading.vocabulary import __all__ as __all__
