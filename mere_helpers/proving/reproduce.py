"""One package of a repository, built again from what it says about itself: are the bytes the same?"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..building.jobserver import Jobserver
from ..building.layers import compose
from ..building.package import build_package
from ..building.package_file import SUFFIX
from ..config import Config
from ..errors import BuildError
from ..recipes.plan import Plan
from ..storage.store import Entry, Store
from .compared import Compared, refuse_if_full, where
from .origin import Origin, origin
from .provenance import STATEMENTS, material


def reproduce(
    config: Config, plan: Plan, file: Path, installer: Sequence[Path], *, sums: Mapping[str, str]
) -> Compared:
    """Build a package again, in a container with the packages that it was built with.

    Parameters
    ----------
    config : Config
        The second result, its log and what a failure leaves go to a store of their own below ``work``.
    plan : Plan
        Has the recipe.
    file : Path
        The package. The packages it was built with are looked for in the same folder.
    installer : sequence of Path
        The root of the sandbox in which they are installed into layers.
    sums : mapping of str to str
        The sha256 that the packages in the folder should have, by file name; a package without one is refused. Of
        `file`, which may be one of those that it is built with, none is asked: building it again is to tell.

    Returns
    -------
    Compared
        Of the packages that the recipe makes and that lie in the folder, `file` among them, with what was built now;
        the second build is kept if they differ.

    Raises
    ------
    BuildError
        It cannot be tried: a package is missing or not the recorded one, or the recipe is another one today or makes
        no file of this name, or the build fails.
    MereError
        Something else stands in the way, such as a full disk.
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
        if path != file:
            _verify(path, sums)
    order = plan.stack(needed)
    if set(order) != set(needed):
        odd = ", ".join(sorted(set(order) ^ set(needed)))
        raise BuildError(f"{file.name} was built with other packages than its recipe asks for: {odd}")
    # The main store, its logs and its locks are left alone: somebody may be building there.
    place = replace(config, store=config.work / "again")
    layers = compose(config, [needed[name] for name in order], [], installer)
    entry = _build(place, plan, f"packages/{about.recipe}", layers, about)
    result = _compare(place, file, entry)
    if not result.different:
        Store(place).remove(entry)
    return result


def _compare(config: Config, file: Path, entry: Entry) -> Compared:
    """The packages in the folder of `file`, and those in `entry`."""
    if file.name not in entry.outputs:
        raise BuildError(
            f"the recipe makes {', '.join(sorted(entry.outputs))}, and not {file.name}",
            hint="give the file the name that it had in its repository",
        )
    made = [name for name in sorted(entry.outputs) if (file.parent / name).is_file()]
    unequal = [name for name in made if (file.parent / name).read_bytes() != (entry.tree / name).read_bytes()]
    equal = {name: entry.outputs[name].sha256 for name in made if name not in unequal}
    if not unequal:
        return Compared(equal)
    refuse_if_full(entry.path)
    with TemporaryDirectory(dir=config.work) as room:
        for name in made:
            shutil.copy(file.parent / name, room)
        lines = where(config, Path(room), entry.tree)
    return Compared(equal, tuple(unequal), lines, _settings(config, file), entry.log)


def _settings(config: Config, file: Path) -> str:
    """What makepkg's settings, which no package names, may have to do with a difference."""
    settings = "recipes/makepkg.conf"
    then = material(file, settings)
    if then is None:
        return f"perhaps it was made with another {settings}; beside it is no {STATEMENTS} that tells"
    if then != hashlib.sha256((config.checkout / settings).read_bytes()).hexdigest():
        return f"it was made with another {settings}, with sha256 {then}; see git log --oneline {settings}"
    return ""


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
