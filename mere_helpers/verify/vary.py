"""A package built in another place, under other circumstances: the same bytes?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from ..building.builders import BuildEnvironment, root
from ..building.jobserver import Jobserver
from ..config import Config
from ..host.prepare import open_path
from ..planning.plan import Plan
from ..store.store import Entry, Store
from .comparisons import Comparison, build_again, compare_entries

#: What is different, for people. Clock and order are, for whatever is linked dynamically, and for date: busybox's other
#: commands are static, and see the true ones.
VARIED = (
    "host name",
    "name of the user, home folder",
    "ids of the container on the host",
    "umask",
    "clock (400 days ahead) and time zone",
    "locale",
    "number of jobs",
    "order of names in folders",
    "store and work folder",
)

#: Names, umask, time zone and locale as makepkg is started with them; the rest is in the library.
_ELSEWHERE = BuildEnvironment(
    host_name="elsewhere",
    environment={"HOME": "/tmp", "TZ": "LINT-14"}
    | dict.fromkeys(("USER", "LOGNAME"), "somebody")
    | dict.fromkeys(("LANG", "LC_ALL"), "de_DE.UTF-8"),
    command=(
        *("sh", "-ec"),
        'sh /variation/prepare.sh && umask 077 && LD_PRELOAD=/variation/elsewhere.so exec "$@"',
        "sh",
    ),
)


def vary(config: Config, plan: Plan, id: str, entries: Mapping[str, Entry], jobserver: Jobserver) -> Comparison:
    """Build a package of a later round again, such as ``rebuild/zlib``, with everything in `VARIED` other than it was.

    `entries` are the finished build and those that it needs; `jobserver` should let another number of processes run
    than at the first time. The second result goes to a store of its own below ``work``, and so do the layers of its
    containers; it is kept if it differs. A BuildError says that the build fails there, which says nothing about the
    first package; any other MereError, that something else stands in the way.
    """
    first = entries[id]
    # Layers belong to the root of containers. Where that is another one they have to be made anew.
    aside = replace(config, store=config.work / "elsewhere", id_shift=1)
    open_path(aside)
    layers = root(aside, plan, id, entries, stop=jobserver.stop)
    key = hashlib.sha256(f"elsewhere {first.key}".encode()).hexdigest()
    surroundings = replace(_ELSEWHERE, files=config.recipes / "variation")
    second = build_again(aside, plan.recipes[id], layers, jobserver, key, surroundings)
    result = compare_entries(config, first, second)
    if result.different:
        # Unless something has changed in the store, and so may be all that differs.
        for used in (id, *plan.dependencies(id)):
            Store(config).verify(entries[used])
    else:
        Store(aside).remove(second)
    return result
