"""mere: a small musl system, built from source by the chapters of a book.

The notebooks import their vocabulary from here; each word is a function of one of the modules beside this file.
"""

# Three words, plan, figure and repository, are also modules of this package; here they are the words.
from .vocabulary import (
    build,
    check_host,
    compare,
    contents,
    expect_error,
    fetch,
    figure,
    install,
    log,
    plan,
    repository,
    run,
    show,
    sources,
    tamper,
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
    "install",
    "log",
    "plan",
    "repository",
    "run",
    "show",
    "sources",
    "tamper",
    "workarounds",
    "write",
]
