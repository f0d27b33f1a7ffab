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
from ..building.package_file import SUFFIX, build_info, package_name
from ..config import Config
from ..errors import BuildError
from ..files import sha256
from ..planning.plan import Plan
from ..store.store import Entry, Store
from .comparisons import Comparison, build_again, refuse_if_full, where
from .provenance import STATEMENTS, material


def reproduce(
    config: Config, plan: Plan, file: Path, installer: Sequence[Path], *, sums: Mapping[str, str]
) -> Comparison:
    """Build a package again, in a container with the packages that it was built with, which lie beside it.

    Compared are all packages of the recipe that lie there. The second result, its log and what a failure leaves go to a
    store of their own below ``work``; they are kept if the packages differ.

    Parameters
    ----------
    installer : sequence of Path
        The root of the sandbox in which packages are installed into layers.
    sums : mapping of str to str
        The sha256 that the packages in the directory should have, by file name; a package without one is refused. Of
        `file`, which may be one of those that it is built with, none is asked: building it again is to tell.

    Raises
    ------
    BuildError
        It cannot be tried: a package is missing or not the recorded one, or the recipe is another one today or makes
        no file of this name, or the build fails.
    MereError
        Something else stands in the way, such as a full disk.
    """
    info = build_info(file)
    try:
        name, digest, installed = info["pkgbase"][0], info["pkgbuild_sha256sum"][0], sorted(info["installed"])
    except KeyError as error:
        raise BuildError(f"{file.name} does not say how it was built: its .BUILDINFO has no {error}") from None
    id = f"packages/{name}"
    if id not in plan.recipes:
        raise BuildError(f"{file.name} was made by the recipe {name}, which this checkout lacks")
    recipe = plan.recipes[id]
    if sha256(recipe.path) != digest:
        raise BuildError(
            f"{file.name} was made by another recipe {name}, with sha256 {digest}",
            hint=f"git log --oneline recipes/packages/{name}   # check out the commit that has it",
        )
    needed = {package_name(full): file.parent / f"{full}{SUFFIX}" for full in installed}
    for path in needed.values():
        if path != file:
            _verify(path, sums)
    order = plan.stack(needed)
    if set(order) != set(needed):
        odd = ", ".join(sorted(set(order) ^ set(needed)))
        raise BuildError(f"{file.name} was built with other packages than its recipe asks for: {odd}")
    # The main store, its logs and its locks are left alone: somebody may be building there.
    aside = replace(config, store=config.work / "again")
    layers = compose(config, [needed[package] for package in order], [], installer)
    key = hashlib.sha256("\n".join([id, digest, *installed]).encode()).hexdigest()
    with Jobserver(aside.work / "jobs", aside.jobs - 1) as jobserver:
        entry = build_again(aside, recipe, layers, jobserver, key)
    result = compare(aside, file, entry)
    if not result.different:
        Store(aside).remove(entry)
    return result


def compare(config: Config, file: Path, entry: Entry) -> Comparison:
    """The packages in the directory of `file`, and those in `entry`; BuildError if that has no file of this name."""
    if file.name not in entry.outputs:
        raise BuildError(
            f"the recipe makes {', '.join(sorted(entry.outputs))}, and not {file.name}",
            hint="give the file the name that it had in its repository",
        )
    made = [name for name in sorted(entry.outputs) if (file.parent / name).is_file()]
    different = [name for name in made if (file.parent / name).read_bytes() != (entry.tree / name).read_bytes()]
    equal = {name: entry.outputs[name].sha256 for name in made if name not in different}
    if not different:
        return Comparison(equal)
    refuse_if_full(entry.path)
    with TemporaryDirectory(dir=config.work) as folder:
        for name in made:
            shutil.copy(file.parent / name, folder)
        lines = where(config, Path(folder), entry.tree)
    return Comparison(equal, tuple(different), lines, _settings(config, file), entry.log)


def _settings(config: Config, file: Path) -> str:
    """What makepkg's settings, which no package names, may have to do with a difference."""
    settings = "recipes/makepkg.conf"
    then = material(file, settings)
    if then is None:
        return f"perhaps it was made with another {settings}; beside it is no {STATEMENTS} that tells"
    if then != sha256(config.checkout / settings):
        return f"it was made with another {settings}, with sha256 {then}; see git log --oneline {settings}"
    return ""


def _verify(path: Path, sums: Mapping[str, str]) -> None:
    if not path.is_file():
        raise BuildError(f"{path.name} is not in the folder, and the package was built with it")
    found = sha256(path)
    if sums.get(path.name) != found:
        raise BuildError(
            f"{path.name} is not the recorded one: expected {sums.get(path.name, 'nothing')}, found {found}",
            hint="recipes/digests.toml holds the sums of the packages that this checkout makes",
        )
