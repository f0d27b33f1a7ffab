"""Recipes: what a build is made of, read from the bash file that also builds it."""

from __future__ import annotations

import difflib
import hashlib
import re
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from ..config import TARGET, Config, clean_environment
from ..errors import HostError, RecipeError
from ..files import sha256
from .pins import Source, read_pins, refuse_clashes

#: The stages whose recipes are files in ``recipes/``, in the order in which they come to their turn.
STAGES = ("cross", "temptools", "packages")

#: Seconds after which a build is taken for one that will never end. The longest one takes 20 minutes on two processors;
#: a slow machine that runs three builds at once needs some hours. A recipe can say ``_time_limit=SECONDS``.
TIME_LIMIT_S = 6 * 3600.0

_READER = Path(__file__).with_name("bash_fields.bash")
_LIMIT_S = 30

#: The values of each variable that a recipe sets; the names of its ``functions``; and ``pkgdesc of NAME``, ``license of
#: NAME``, ``depends of NAME`` and ``extra files of NAME`` (install script, changelog) for each package NAME.
Fields = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Recipe:
    """A package, or a step of the stages before the packages, which has no version, packages and licence."""

    stage: str
    name: str
    path: Path
    #: As in ``5.40.1-1``.
    version: str = ""
    #: What one build of it gives.
    packages: tuple[str, ...] = ()
    #: Of a split recipe that of the package that bears its name, or else of its first one.
    description: str = ""
    url: str = ""
    #: SPDX expressions, of all its packages.
    licence: tuple[str, ...] = ()
    #: What each package needs when it is used.
    depends: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: What the build needs: packages, or for a step the ids of steps.
    makedepends: tuple[str, ...] = ()
    #: Files to fetch; for a step those of the packages it names in ``sources_of``.
    sources: tuple[Source, ...] = ()
    #: Files of the checkout that the build reads: the recipe first, then patches and the like.
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
        lines = (f"{sha256(path)}  {name}\n" for name, path in named)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def load_recipe(config: Config, id_or_name: str) -> Recipe:
    """The recipe with an id such as ``cross/gcc`` or a bare name, which means the package of that name if there is one.

    The name of any package of a split recipe will do.

    Raises
    ------
    RecipeError
        There is no such recipe, the name could mean several, or a recipe is wrong.
    """
    recipes = load_recipes(config)
    if id_or_name in recipes:
        return recipes[id_or_name]
    found = [recipe for recipe in recipes.values() if id_or_name in recipe.packages]
    found = found or [recipe for recipe in recipes.values() if recipe.name == id_or_name]
    if not found:
        near = difflib.get_close_matches(id_or_name, [*recipes, *(r.name for r in recipes.values())], cutoff=0.6)
        hint = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else "the names are those in recipes/"
        raise RecipeError(f"no recipe {id_or_name}", hint=hint)
    if len(found) > 1:
        ids = " or ".join(recipe.id for recipe in found)
        raise RecipeError(f"{id_or_name} could be {ids}", hint="give the one you mean in full")
    return found[0]


def load_recipes(config: Config) -> dict[str, Recipe]:
    """Read all recipes: by id, in the order of stages and then names.

    Raises
    ------
    RecipeError
        A recipe cannot be read, lacks a field, or has a source without a pin; the message names all that are wrong.
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
    files = {stage: sorted((config.recipes / stage).glob("*.sh")) for stage in STAGES}
    files["packages"] = sorted((config.recipes / "packages").glob("*/PKGBUILD"))
    recipes: dict[str, Recipe] = {}
    # Steps look into the packages whose sources they use.
    for stage in reversed(STAGES):
        with ThreadPoolExecutor(max(2, config.jobs)) as threads:
            if stage == "packages":
                futures = [threads.submit(_read_package, path) for path in files[stage]]
            else:
                futures = [threads.submit(_read_step, path, recipes) for path in files[stage]]
        errors = [error for future in futures if (error := future.exception())]
        if len(errors) > 1:
            raise RecipeError("\n".join(str(error) for error in errors)) from errors[0]
        recipes = {recipe.id: recipe for recipe in (future.result() for future in futures)} | recipes
    return recipes


def function_text(recipe: Recipe, function: str | None = None) -> str:
    """The text of a recipe's function, such as ``build``, exactly as it stands in the file; by default, of all of it.

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


def _read_step(path: Path, packages: Mapping[str, Recipe]) -> Recipe:
    id, fields = f"{path.parent.name}/{path.stem}", _read_fields(path)
    missing = [name for name in ("sources_of", "makedepends") if name not in fields]
    missing += [f"{name}()" for name in ("build", "package") if name not in fields["functions"]]
    _refuse_missing(id, missing)
    if unknown := [name for name in fields["sources_of"] if f"packages/{name}" not in packages]:
        raise RecipeError(f"{id} uses the sources of {', '.join(unknown)}, which recipes/packages lacks")
    used = [packages[f"packages/{name}"] for name in fields["sources_of"]]
    sources = dict.fromkeys(source for recipe in used for source in recipe.sources)
    # The packages' own recipe files stay out: a new dependency of the gcc package must not rebuild the cross gcc.
    local = [path for recipe in used for path in recipe.files[1:]]
    refuse_clashes(id, [source.name for source in sources] + [path.name for path in local])
    return Recipe(
        stage=path.parent.name,
        name=path.stem,
        path=path,
        makedepends=fields["makedepends"],
        sources=tuple(sources),
        files=(path, *local),
        time_limit_s=_time_limit(id, fields),
    )


def _read_package(path: Path) -> Recipe:
    name, fields = path.parent.name, _read_fields(path)
    id = f"packages/{name}"
    _refuse_missing(id, [f for f in ("pkgname", "pkgver", "pkgrel", "arch", "url") if not any(fields.get(f, ()))])
    names = fields["pkgname"]
    base = fields.get("pkgbase", names)[0]
    if base != name:
        hint = "folder and pkgname (of a split recipe: pkgbase) must agree"
        raise RecipeError(f"{id} calls itself {base}", hint=hint)
    if len(names) > 1:
        _refuse_missing(id, [f"package_{name}()" for name in names if f"package_{name}" not in fields["functions"]])
    each = [f"{field} of {name}" for name in names for field in ("pkgdesc", "license")]
    _refuse_missing(id, [field for field in each if not any(fields[field])])
    sources, local = read_pins(id, path.parent, fields)
    extra = [path.parent / file for name in names for file in fields[f"extra files of {name}"]]
    _refuse_missing(id, [file.name for file in extra if not file.is_file()])
    version = f"{fields['pkgver'][0]}-{fields['pkgrel'][0]}"
    return Recipe(
        stage="packages",
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


def _read_fields(path: Path) -> Fields:
    """Let bash read a recipe, in a clean environment and in the recipe's directory, and tell what it found."""
    command = ["bash", "--noprofile", "--norc", "-eu", str(_READER), path.name]
    environment = clean_environment(CARCH=TARGET.partition("-")[0], CHOST=TARGET)
    try:
        done = subprocess.run(
            command, cwd=path.parent, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_S
        )
    except FileNotFoundError:
        raise HostError("there is no bash", hint="install bash with your system's package manager") from None
    except subprocess.TimeoutExpired:
        hint = "work belongs into the recipe's functions"
        raise RecipeError(f"bash needs more than {_LIMIT_S} s to read {path}", hint=hint) from None
    records = iter(done.stdout.decode(errors="replace").split("\0")[:-1])
    fields = {name: tuple(next(records) for _ in range(int(next(records)))) for name in records}
    # A recipe that says `exit` ends the reader, too, without an error.
    if done.returncode or "functions" not in fields:
        reason = "\n".join(f"  {line}" for line in done.stderr.decode(errors="replace").splitlines()[-5:])
        raise RecipeError(f"bash cannot read {path}\n{reason}".rstrip(), hint="correct the recipe")
    return fields


def _time_limit(id: str, fields: Fields) -> float:
    said = " ".join(fields.get("_time_limit", (f"{TIME_LIMIT_S:.0f}",)))
    # A year is 32 million seconds.
    if not re.fullmatch("[1-9][0-9]{0,7}", said, re.ASCII):
        raise RecipeError(f"{id} has the time limit {said!r}", hint="write _time_limit=SECONDS, in digits")
    return float(said)


def _refuse_missing(id: str, missing: list[str]) -> None:
    if missing:
        raise RecipeError(f"{id} lacks {', '.join(missing)}", hint="complete the recipe")
