"""One package of a repository, built again from what it says about itself: are the bytes the same?"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..building.comparison import NOT_IN_PAYLOAD, differences
from ..building.jobserver import Jobserver
from ..building.package import build_package
from ..building.package_file import SUFFIX, build_info
from ..config import Config
from ..containers.layers import compose
from ..errors import BuildError
from ..recipes.plan import Plan
from ..storage.store import Entry, Store


@dataclass(frozen=True)
class Origin:
    """How a package came to be, by its own ``.BUILDINFO``.

    Attributes
    ----------
    recipe : str
        Its name, such as ``gcc``.
    recipe_sha256 : str
        Of the PKGBUILD.
    installed : tuple of str
        The packages in the container, each as NAME-VERSION-RELEASE-ARCHITECTURE.
    """

    recipe: str
    recipe_sha256: str
    installed: tuple[str, ...]


def origin(file: Path) -> Origin:
    """Read where a package comes from.

    Raises
    ------
    BuildError
        It is not a package, or it does not say.
    """
    info = build_info(file)
    try:
        return Origin(info["pkgbase"][0], info["pkgbuild_sha256sum"][0], tuple(sorted(info["installed"])))
    except KeyError as error:
        raise BuildError(f"{file.name} does not say how it was built: its .BUILDINFO has no {error}") from None


def reproduce(config: Config, plan: Plan, file: Path, pacman: Path, *, sums: Mapping[str, str]) -> list[str]:
    """Build a package again, in a container with the very packages that it was built with.

    Parameters
    ----------
    config : Config
        The second result, its log and what a failure leaves go to a store of their own below ``work``.
    plan : Plan
        Has the recipe.
    file : Path
        The package. The packages it was built with are looked for in the same folder.
    pacman : Path
        Installs them into layers.
    sums : mapping of str to str
        The sha256 that the packages in the folder should have, by file name; a package without one is refused.

    Returns
    -------
    list of str
        The names of the package files that the recipe makes and that lie in the folder, `file` among them: each is
        equal in every byte to what was built now.

    Raises
    ------
    BuildError
        It cannot be tried: a package is missing or not the recorded one, or the recipe is another one today or makes
        no file of this name. Or it was tried, and a package is not the same; the message says where it differs.
    """
    about = origin(file)
    recipe = plan.recipes.get(f"packages/{about.recipe}")
    if recipe is None:
        raise BuildError(f"{file.name} was made by the recipe {about.recipe}, which this checkout lacks")
    if hashlib.sha256(recipe.path.read_bytes()).hexdigest() != about.recipe_sha256:
        raise BuildError(
            f"{file.name} was made by another recipe {about.recipe}, with sha256 {about.recipe_sha256}",
            hint=f"git log --oneline recipes/packages/{about.recipe}   # check out the commit that has it",
        )
    needed = {name.rsplit("-", 3)[0]: file.parent / f"{name}{SUFFIX}" for name in about.installed}
    for path in needed.values():
        _verify(path, sums)
    order = plan.stack(needed)
    if set(order) != set(needed):
        odd = ", ".join(sorted(set(order) ^ set(needed)))
        raise BuildError(f"{file.name} was built with other packages than its recipe asks for: {odd}")
    # The main store, its logs and its locks are left alone: somebody may be building there.
    place = replace(config, store=config.work / "again")
    layers = compose(config, [needed[name] for name in order], [], pacman)
    entry = _build(place, plan, f"packages/{about.recipe}", layers, about)
    equal = _compare(file, entry, place.work / "given")
    Store(place).remove(entry)
    return equal


def _compare(file: Path, entry: Entry, room: Path) -> list[str]:
    """The packages in the folder of `file` that equal those in `entry`, all or an error; `room` is for copies."""
    if file.name not in entry.outputs:
        raise BuildError(
            f"the recipe makes {', '.join(sorted(entry.outputs))}, and not {file.name}",
            hint="give the file the name that it had in its repository",
        )
    made = [name for name in sorted(entry.outputs) if (file.parent / name).is_file()]
    unequal = [name for name in made if (file.parent / name).read_bytes() != (entry.tree / name).read_bytes()]
    if not unequal:
        return made
    room.mkdir(parents=True, exist_ok=True)
    for name in made:
        shutil.copy(file.parent / name, room)
    lines = differences(room, entry.tree) or [NOT_IN_PAYLOAD]
    raise BuildError("\n".join([f"{', '.join(unequal)} cannot be reproduced:", *lines]), log=entry.log)


def _verify(path: Path, sums: Mapping[str, str]) -> None:
    if not path.is_file():
        raise BuildError(f"{path.name} is not in the folder, and the package was built with it")
    with open(path, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if sums.get(path.name) != found:
        raise BuildError(
            f"{path.name} is not the recorded one: expected {sums.get(path.name, 'nothing')}, found {found}",
            hint="recipes/digests.toml holds the sums of the packages that this checkout makes",
        )


def _build(config: Config, plan: Plan, id: str, layers: list[Path], about: Origin) -> Entry:
    store = Store(config)
    key = hashlib.sha256("\n".join([id, about.recipe_sha256, *about.installed]).encode()).hexdigest()
    if earlier := store.find(key):
        store.remove(earlier)
    with Jobserver(config.work / "jobs", config.jobs - 1) as jobserver:
        return build_package(config, store, plan.recipes[id], layers, jobserver, key=key)
