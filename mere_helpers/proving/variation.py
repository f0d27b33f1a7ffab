"""A package built in another place, under other circumstances: the same bytes?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from ..building.builders import root
from ..building.jobserver import Jobserver
from ..building.package import Surroundings, build_package
from ..config import Config
from ..machine.host import open_path
from ..recipes.plan import Plan
from ..storage.store import Entry, Store
from .compared import Compared, compare_entries

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
_ELSEWHERE = Surroundings(
    host_name="elsewhere",
    environment={
        "HOME": "/tmp",
        "USER": "somebody",
        "LOGNAME": "somebody",
        "TZ": "LINT-14",
        "LANG": "de_DE.UTF-8",
        "LC_ALL": "de_DE.UTF-8",
    },
    command=(
        "sh",
        "-ec",
        'sh /variation/prepare.sh && umask 077 && LD_PRELOAD=/variation/elsewhere.so exec "$@"',
        "sh",
    ),
)


def vary(config: Config, plan: Plan, id: str, entries: Mapping[str, Entry], jobserver: Jobserver) -> Compared:
    """Build a package of a later round again, with everything in `VARIED` other than it was.

    Parameters
    ----------
    config : Config
        The second result goes to a store of its own below ``work``, and so do the layers of its containers.
    plan : Plan
        Has the recipe.
    id : str
        Such as ``rebuild/zlib``.
    entries : mapping of str to Entry
        The finished build, and those that it needs.
    jobserver : Jobserver
        Should let another number of processes run than at the first time.

    Returns
    -------
    Compared
        The first build and the second; the second is kept if they differ.

    Raises
    ------
    BuildError
        The build fails there. That there is no second package says nothing about the first.
    MereError
        Something else stands in the way, such as a full disk.
    """
    first = entries[id]
    # Layers belong to the root of containers. Where that is another one they have to be made anew.
    place = replace(config, store=config.work / "elsewhere", id_shift=1)
    open_path(place)
    layers = root(place, plan, id, entries, stop=jobserver.stop)
    store = Store(place)
    key = hashlib.sha256(f"elsewhere {first.key}".encode()).hexdigest()
    if earlier := store.find(key):
        store.remove(earlier)
    surroundings = replace(_ELSEWHERE, files=config.recipes / "variation")
    second = build_package(place, store, plan.recipes[id], layers, jobserver, key=key, surroundings=surroundings)
    result = compare_entries(config, first, second)
    if result.different:
        # Unless something has changed in the store, and so may be all that differs.
        for used in (id, *plan.dependencies(id)):
            Store(config).verify(entries[used])
    else:
        store.remove(second)
    return result
