"""Recipes: what a build is made of, read from the bash file that also builds it."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from ..config import Config
from ..errors import RecipeError
from .fields import read_fields
from .pins import Source, read_pins, refuse_clashes

#: The stages whose recipes are files in ``recipes/``, in the order in which they come to their turn.
STAGES = ("cross", "temptools", "packages")

#: Seconds after which a build is taken for one that will never end. The longest one takes 20 minutes on two processors;
#: a slow machine that runs three builds at once needs some hours. A recipe can say ``_time_limit=SECONDS``.
TIME_LIMIT_S = 6 * 3600.0

_REQUIRED = ("pkgname", "pkgver", "pkgrel", "arch", "url")
_REQUIRED_OF_EACH = ("pkgdesc", "license")


@dataclass(frozen=True)
class Recipe:
    """A package, or a step of the stages before the packages.

    Attributes
    ----------
    stage, name : str
        Together the id, as in ``packages/musl``.
    path : Path
        The bash file.
    version : str
        As in ``5.40.1-1``; empty for a step.
    packages : tuple of str
        The packages that one build of it gives; empty for a step.
    description, url : str
        For people; of a split recipe the description of the package that bears its name, or else of its first one.
        Empty for a step.
    licence : tuple of str
        SPDX expressions, of all its packages.
    depends : dict of str to tuple of str
        What each package needs when it is used.
    makedepends : tuple of str
        What the build needs: packages, or for a step the ids of steps.
    sources : tuple of Source
        Files to fetch; for a step those of the packages it names in ``sources_of``.
    files : tuple of Path
        Files of the checkout that the build reads: the recipe first, then patches and the like.
    time_limit_s : float
        Seconds after which the build is ended.
    """

    stage: str
    name: str
    path: Path
    version: str = ""
    packages: tuple[str, ...] = ()
    description: str = ""
    url: str = ""
    licence: tuple[str, ...] = ()
    depends: dict[str, tuple[str, ...]] = field(default_factory=dict)
    makedepends: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    files: tuple[Path, ...] = ()
    time_limit_s: float = TIME_LIMIT_S

    @property
    def id(self) -> str:
        """The name of this build among all builds, ``stage/name``."""
        return f"{self.stage}/{self.name}"

    @property
    def by_host(self) -> bool:
        """Compiled by the host's own compiler, because ours does not exist yet."""
        return not self.packages and "cross/gcc" not in self.makedepends

    @cached_property
    def digest(self) -> str:
        """The sha256 over the names and contents of `files`, as they were when first asked for."""
        named = sorted((f"{path.parent.name}/{path.name}", path) for path in self.files)
        lines = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n" for name, path in named)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def load_recipe(config: Config, id_or_name: str) -> Recipe:
    """Read one recipe.

    Parameters
    ----------
    config : Config
        Says where the recipes are.
    id_or_name : str
        An id such as ``cross/gcc``; or a bare name, which means the package of that name when there is one. The name
        of any package of a split recipe will do.

    Raises
    ------
    RecipeError
        There is no such recipe, the name could mean several, or the recipe is wrong: it cannot be read, lacks a
        field, or has a source without a pin.
    """
    files = _recipe_files(config)
    if "/" in id_or_name:
        ids = [id_or_name] if id_or_name in files else []
    else:
        ids = [id for id in files if id.partition("/")[2] == id_or_name]
        ids = [id for id in ids if id.startswith("packages/")] or ids or _split(files, id_or_name)
    if not ids:
        near = difflib.get_close_matches(id_or_name, [*files, *(id.partition("/")[2] for id in files)], cutoff=0.6)
        hint = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else "the names are those in recipes/"
        raise RecipeError(f"no recipe {id_or_name}", hint=hint)
    if len(ids) > 1:
        raise RecipeError(f"{id_or_name} could be {' or '.join(ids)}", hint="give the one you mean in full")
    return _read(files, ids[0], lambda name: load_recipe(config, f"packages/{name}"))


def load_recipes(config: Config) -> dict[str, Recipe]:
    """Read all recipes.

    Returns
    -------
    dict of str to Recipe
        By id, in the order of stages and then names.

    Raises
    ------
    RecipeError
        As `load_recipe`; when several recipes are wrong the message names them all.
    """
    # A chapter asks in every cell, and bash takes a while to read fifty files that have not changed.
    state = tuple(
        (path, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
        for path in sorted(config.recipes.rglob("*"))
        for found in (path.stat(),)
    )
    return dict(_load_recipes(config, state))


@lru_cache(maxsize=1)
def _load_recipes(config: Config, state: tuple[object, ...]) -> dict[str, Recipe]:
    files = _recipe_files(config)
    recipes: dict[str, Recipe] = {}

    def package(name: str) -> Recipe:
        return recipes[f"packages/{name}"]

    # Steps look into the packages whose sources they use.
    for stages in (("packages",), ("cross", "temptools")):
        ids = [id for id in files if id.partition("/")[0] in stages]
        with ThreadPoolExecutor(max(2, config.jobs)) as threads:
            futures = {id: threads.submit(_read, files, id, package) for id in ids}
        errors = [error for future in futures.values() if (error := future.exception())]
        if len(errors) > 1:
            raise RecipeError("\n".join(str(error) for error in errors)) from errors[0]
        recipes |= {id: future.result() for id, future in futures.items()}
    return {id: recipes[id] for id in files}


def function_text(recipe: Recipe, function: str | None = None) -> str:
    """The text of a recipe's function, exactly as it stands in the file.

    Parameters
    ----------
    recipe : Recipe
        The one to look into.
    function : str, optional
        Such as ``build``; without it, the whole file.

    Raises
    ------
    RecipeError
        The recipe has no such function.
    """
    text = recipe.path.read_text()
    if function is None:
        return text.rstrip("\n")
    # On one line, or up to the first line that is nothing but a closing brace.
    found = re.search(rf"^{re.escape(function)} *\(\) *\{{(.*\}}|(.*\n)+?\}})$", text, re.MULTILINE)
    if found is None:
        names = re.findall(r"^([\w.@+-]+) *\(\) *\{", text, re.MULTILINE)
        raise RecipeError(f"{recipe.id} has no function {function}", hint=f"it has {', '.join(names) or 'none'}")
    return found[0]


def _recipe_files(config: Config) -> dict[str, Path]:
    """Every recipe's bash file by id."""
    files: dict[str, Path] = {}
    for stage in STAGES:
        folder = config.recipes / stage
        if stage == "packages":
            files |= {f"{stage}/{path.parent.name}": path for path in sorted(folder.glob("*/PKGBUILD"))}
        else:
            files |= {f"{stage}/{path.stem}": path for path in sorted(folder.glob("*.sh"))}
    return files


def _split(files: Mapping[str, Path], package: str) -> list[str]:
    """The ids of recipes that make a package of another name than their own."""
    likely = [id for id, path in files.items() if id.startswith("packages/") and package in path.read_text()]
    return [id for id in likely if package in read_fields(files[id]).get("pkgname", ())]


def _read(files: Mapping[str, Path], id: str, package: Callable[[str], Recipe]) -> Recipe:
    fields = read_fields(files[id])
    if id.startswith("packages/"):
        return _package(id, files[id], fields)
    missing = [name for name in ("sources_of", "makedepends") if name not in fields]
    missing += [f"{name}()" for name in ("build", "package") if name not in fields["functions"]]
    _refuse_missing(id, missing)
    unknown = [name for name in fields["sources_of"] if f"packages/{name}" not in files]
    if unknown:
        raise RecipeError(f"{id} uses the sources of {', '.join(unknown)}, which recipes/packages lacks")
    used = [package(name) for name in fields["sources_of"]]
    sources = dict.fromkeys(source for recipe in used for source in recipe.sources)
    # The packages' own recipe files stay out: a new dependency of the gcc package must not rebuild the cross gcc.
    local = [path for recipe in used for path in recipe.files[1:]]
    refuse_clashes(id, [source.name for source in sources] + [path.name for path in local])
    return Recipe(
        stage=files[id].parent.name,
        name=files[id].stem,
        path=files[id],
        makedepends=fields["makedepends"],
        sources=tuple(sources),
        files=(files[id], *local),
        time_limit_s=_time_limit(id, fields),
    )


def _package(id: str, path: Path, fields: Mapping[str, tuple[str, ...]]) -> Recipe:
    _refuse_missing(id, [name for name in _REQUIRED if not any(fields.get(name, ()))])
    names = fields["pkgname"]
    base = fields.get("pkgbase", names)[0]
    stage, _, name = id.partition("/")
    if base != name:
        raise RecipeError(
            f"{id} calls itself {base}", hint="folder and pkgname (of a split recipe: pkgbase) must agree"
        )
    if len(names) > 1:
        _refuse_missing(id, [f"package_{name}()" for name in names if f"package_{name}" not in fields["functions"]])
    each = [f"{field} of {name}" for name in names for field in _REQUIRED_OF_EACH]
    _refuse_missing(id, [field for field in each if not any(fields[field])])
    sources, local = read_pins(id, path.parent, fields)
    extra = [path.parent / file for name in names for file in fields[f"extra files of {name}"]]
    _refuse_missing(id, [file.name for file in extra if not file.is_file()])
    version = f"{fields['pkgver'][0]}-{fields['pkgrel'][0]}"
    return Recipe(
        stage=stage,
        name=name,
        path=path,
        version=f"{fields['epoch'][0]}:{version}" if any(fields.get("epoch", ())) else version,
        packages=names,
        description=fields[f"pkgdesc of {base if base in names else names[0]}"][0],
        url=fields["url"][0],
        licence=tuple(dict.fromkeys(licence for name in names for licence in fields[f"license of {name}"])),
        depends={name: fields[f"depends of {name}"] for name in names},
        makedepends=fields.get("makedepends", ()),
        sources=sources,
        files=tuple(dict.fromkeys([path, *local, *extra])),
        time_limit_s=_time_limit(id, fields),
    )


def _time_limit(id: str, fields: Mapping[str, tuple[str, ...]]) -> float:
    said = " ".join(fields.get("_time_limit", (f"{TIME_LIMIT_S:.0f}",)))
    # A year is 32 million seconds.
    if not re.fullmatch("[1-9][0-9]{0,7}", said, re.ASCII):
        raise RecipeError(f"{id} has the time limit {said!r}", hint="write _time_limit=SECONDS, in digits")
    return float(said)


def _refuse_missing(id: str, missing: list[str]) -> None:
    if missing:
        raise RecipeError(f"{id} lacks {', '.join(missing)}", hint="complete the recipe")
