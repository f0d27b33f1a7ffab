"""mere: a small musl system, built from source by the chapters of a book.

The notebooks import their vocabulary from here; each word is a function of one of the modules beside this file.
"""

# Two words, plan and figure, are also modules of this package; here they are the words.
from .vocabulary import (
    build,
    check_host,
    compare,
    contents,
    expect_error,
    fetch,
    figure,
    log,
    plan,
    run,
    show,
    sources,
    workarounds,
    write,
)

__all__ = [
    "build",
    "check_host",
    "compare",
    "contents",
    "expect_error",
    "fetch",
    "figure",
    "log",
    "plan",
    "run",
    "show",
    "sources",
    "workarounds",
    "write",
]
