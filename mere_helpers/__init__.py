"""mere: a small musl system, built from source by the chapters of a book.

The notebooks import their vocabulary from here; each word is a function of one of the modules beside this file.
"""

from .reading.vocabulary import (
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
