"""The words of the cells that fetch, build and look. Each returns an object that looks the same in every run."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path

from ..building import schedule
from ..building.builders import package_file
from ..building.package_file import package_contents, package_info
from ..building.repository import tamper as spoil
from ..config import Config, load_config
from ..drawing.recorded import recorded_run
from ..errors import MereError, RecipeError, SourceError
from ..fetching import source
from ..machine import host
from ..recipes.plan import ROUNDS, Plan
from ..recipes.recipe import Recipe, function_text, load_recipe, load_recipes
from ..report import Table, Text, size
from ..storage.store import Entry, Store
from ..watching import live
from . import desk, wanted
from .book import chapter_path, needs, taken
from .wanted import built, ids_of

__all__ = [
    "build",
    "check_host",
    "contents",
    "expect_error",
    "fetch",
    "install",
    "log",
    "plan",
    "ready",
    "repository",
    "run",
    "show",
    "sources",
    "tamper",
    "workarounds",
    "write",
]

_LANGUAGES = {".toml": "toml", ".patch": "diff", ".diff": "diff", ".c": "c", ".cc": "cpp", ".py": "python"}
_ARRAYS = ("source", "sha256sums", "_debian")
_WORKAROUND = re.compile(r"#\s*(busybox|musl): ([\w.+-]+): (.*)")


def check_host() -> Table:
    """Check everything that the builds need from this machine; an error lists what is missing and what mends it."""
    return host.check_host(load_config())


def sources(*names: str) -> Table:
    """The pinned files of these recipes, of all by default, and who publishes each."""
    rows = {
        (item.name, recipe.name, ", ".join(_publishers(item)))
        for recipe in _recipes(load_config(), names)
        for item in recipe.sources
        if recipe.packages
    }
    return Table(("file", "recipe", "published by"), tuple(sorted(rows)))


def fetch(*names: str) -> Table:
    """Bring the sources of these recipes, of all by default, into the cache, and verify each file."""
    config = load_config()
    return _fetch(config, _recipes(config, names))


def show(name: str, part: str | None = None) -> Text:
    """A recipe, one of its functions, its ``source`` arrays, or another file of ``recipes/``, as it stands there."""
    config = load_config()
    path = config.recipes / name
    if path.is_file() and path.resolve().is_relative_to(config.recipes):
        return Text(path.read_text().rstrip("\n"), _LANGUAGES.get(path.suffix, "bash"))
    recipe = load_recipe(config, name)
    return Text(_arrays(recipe) if part == "source" else function_text(recipe, part), "bash")


def ready(chapter: str, *, build: bool = False) -> Text:
    """Is all there that a chapter takes from earlier ones? An error says what is not, and which call builds it.

    Parameters
    ----------
    chapter : str
        How its name begins, such as ``08``.
    build : bool, optional
        Build what is missing. Where nobody looks on, as in a run of the whole book, that is done in any case.
        Source files that are missing are always fetched.
    """
    config = load_config()
    graph = Plan.from_recipes(config)
    path = chapter_path(config, chapter)
    needed = taken(config, graph, path)
    present = schedule.found(config, needed, plan=graph)
    missing = [id for id in needed if id not in present]
    if missing and not build and live.front_end():
        run = recorded_run(config)
        listed = ", ".join(missing[:6]) + (f" and {len(missing) - 6} more" if len(missing) > 6 else "")
        raise MereError(
            f"of {len(needed)} builds that this chapter takes from earlier ones, {len(missing)} are missing: {listed}; "
            f"they take about {run.cpu_s(missing) / 60:.0f} minutes of processor time",
            hint=f'ready("{chapter}", build=True)',
        )
    # What the chapter itself builds is made from sources that an earlier one fetches.
    fetch_missing(config, graph, needs(graph, path))
    built(config, graph, needed)
    return Text("All that this chapter takes from earlier ones is there.")


def plan(*names: str) -> Table:
    """What these builds, or a whole stage, need: in an order in which each comes behind what it needs."""
    config = load_config()
    graph = Plan.from_recipes(config)
    chosen = ids_of(graph, names)
    stages = {id.partition("/")[0] for id in chosen}
    ids = [id for id in graph.closure(chosen) if id.partition("/")[0] in stages]
    recipes = [graph.recipes[id] for id in ids]
    if stages & set(ROUNDS[1:]):
        roots = tuple((graph.recipes[id].name, graph.recipes[id].version, _root(graph, id)) for id in ids)
        return Table(("package", "version", "packages in its container"), roots)
    if "packages" in stages:
        rows = tuple((r.name, r.version, ", ".join(r.makedepends), _depends(r)) for r in recipes)
        return Table(("package", "version", "to be built", "to be used"), rows)
    steps = tuple((r.id, ", ".join(_short(r, name) for name in r.makedepends)) for r in recipes)
    return Table(("step", "needs"), steps)


def build(*names: str) -> Table:
    """Build these recipes, or a whole stage, with everything they need, or take from the store what is there."""
    config = load_config()
    graph = Plan.from_recipes(config)
    chosen = ids_of(graph, names)
    entries = built(config, graph, chosen)
    steps = [_step_row(graph.recipes[id], entries[id]) for id in chosen if not graph.recipes[id].packages]
    packages = [row for id in chosen for row in _package_rows(graph.recipes[id], entries[id])]
    kinds = [kind for kind, rows in ((("step", "files"), steps), (("package", "version"), packages)) if rows]
    first, second = (" or ".join(names) for names in zip(*kinds, strict=True))
    note = "No sum is shown of a step in which the host's own compiler takes part: there hosts may differ."
    return Table(
        (first, second, "size", "sha256"),
        (*steps, *packages),
        note=note if any(not sha256 for *_, sha256 in steps) else "",
    )


def contents(name: str, pattern: str = "*") -> Text:
    """The files that a package installs, as far as they match a pattern."""
    config = load_config()
    graph = Plan.from_recipes(config)
    provider = graph.provider(name)
    files = package_contents(package_file(built(config, graph, [provider])[provider], name))
    return Text("\n".join(sorted(file for file in files if fnmatch(file, pattern) and not file.endswith("/"))))


def write(name: str, text: str) -> Text:
    """Put a file on the desk, where `run` finds it."""
    path = desk.desk(load_config()) / Path(name).name
    lines = text.strip("\n").splitlines()
    path.write_text("".join(f"{line}\n" for line in lines))
    return Text(f"{path.name}: {len(lines)} {'line' if len(lines) == 1 else 'lines'}")


@live.stoppable()
def run(command: str, *, tools: str | None = None, inside: str | Sequence[str] | None = None) -> Text:
    """Run a shell command and show what it prints; a status other than 0 is an error.

    Parameters
    ----------
    command : str
        For ``sh``.
    tools : str, optional
        A step, such as ``cross/gcc``, or a stage. It and the steps it needs come first in ``PATH``, on the host.
    inside : str or sequence of str, optional
        Packages: run in a container that holds these, what they depend on, and the temporary tools. Or ``temptools``:
        only the tools. Or ``rebuild``: the packages that every build of the second round finds, and no tools. Or
        ``system``: the system that `install` makes, and nothing else.

    Raises
    ------
    BuildError
        The command failed; the message is what it printed.
    """
    config = load_config()
    if inside is not None:
        return Text(desk.run_in_container(config, command, *wanted.root_of(config, inside)))
    if tools is None:
        return Text(desk.run_on_host(config, command))
    graph = Plan.from_recipes(config)
    chosen = ids_of(graph, [tools])
    entries = built(config, graph, chosen)
    present = {*chosen, *(needed for id in chosen for needed in graph.recipes[id].makedepends)}
    return Text(desk.run_on_host(config, command, [entries[id] for id in sorted(present)]))


@live.stoppable()
def repository() -> Table:
    """Sign all packages and the database, and publish them as a repository that pacman can use."""
    found = wanted.published(load_config())
    rows = tuple((name, _version(file), size(file.stat().st_size)) for name, file in sorted(found.files.items()))
    total = sum(file.stat().st_size for file in found.files.values())
    note = f"{len(rows)} packages, {size(total)}; each with a signature, and so is the database."
    return Table(("package", "version", "size"), rows, note=note)


@live.stoppable()
def install() -> Table:
    """Install every package of the repository into an empty folder, with pacman alone; `run` enters it as "system"."""
    found, _ = wanted.installed(load_config())
    infos = {name: package_info(file) for name, file in sorted(found.files.items())}
    rows = tuple((name, info["pkgver"][0], size(int(info["size"][0]))) for name, info in infos.items())
    total = sum(int(info["size"][0]) for info in infos.values())
    return Table(("package", "version", "installed"), rows, note=f"{len(rows)} packages, {size(total)}")


@live.stoppable()
def tamper(what: str) -> Text:
    """Spoil a copy of the repository and let the installed system use it; that it refuses is an error.

    Parameters
    ----------
    what : str
        ``package`` or ``database``, and ``altered``, ``unsigned`` or ``resigned``.
    """
    config = load_config()
    found, system = wanted.installed(config)
    return Text(spoil(config, found, system, *what.split()))


def log(name: str, lines: int = 20) -> Text:
    """The end of the log of a recipe's last build, whether it went well or not."""
    config = load_config()
    id = load_recipe(config, name).id
    failed = config.logs / f"{id.replace('/', '-')}.log"
    entry = Store(config).latest(id)
    path = failed if failed.is_file() or entry is None else entry.log
    if not path.is_file():
        raise MereError(f"{id} has no log", hint=f"build it first: python -m mere_helpers build {id}")
    return Text("\n".join(path.read_text(errors="replace").splitlines()[-lines:]))


def expect_error(word: Callable, *arguments: object, **options: object) -> Text:
    """Say a word that must fail, and show its error; that it does not fail is an error."""
    try:
        word(*arguments, **options)
    except MereError as error:
        # Where the log is differs from machine to machine.
        return Text(f"{type(error).__name__}: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""))
    raise MereError(f"{word.__name__} was expected to fail, and did not")


def workarounds(of: str = "busybox") -> Table:
    """Where a recipe had to work around something: its comments of the form ``# busybox: PROGRAM: how``.

    Parameters
    ----------
    of : str, optional
        ``busybox`` or ``musl``.
    """
    rows = set()
    for recipe in load_recipes(load_config()).values():
        for found in _WORKAROUND.finditer(recipe.path.read_text()):
            if found[1] == of:
                rows.add((recipe.id, found[2], found[3]))
    return Table(("recipe", "program" if of == "busybox" else "subject", "what we do about it"), tuple(sorted(rows)))


def fetch_missing(config: Config, graph: Plan, ids: Sequence[str]) -> None:
    """Fetch what the missing ones among these builds, and among all that they need, are made from."""
    present = schedule.found(config, ids, plan=graph)
    missing = [id for id in graph.closure(ids) if id not in present]
    if not missing:
        return
    try:
        _fetch(config, [graph.recipes[id] for id in missing])
    except SourceError:
        # Someone else may have built it already; a build that lacks a source all the same says so.
        if not config.substitutes:
            raise


def _fetch(config: Config, recipes: Sequence[Recipe]) -> Table:
    with live.fetching() as progress:
        return source.fetch(config, recipes, progress)


def _recipes(config: Config, names: Sequence[str]) -> list[Recipe]:
    if not names:
        return list(load_recipes(config).values())
    graph = Plan.from_recipes(config)
    return [graph.recipes[id] for id in ids_of(graph, names)]


def _root(graph: Plan, id: str) -> str:
    """How many packages a container of the rebuild holds, and which it holds beside those that all have."""
    common = set.intersection(*(set(graph.root_packages(other)) for other in ids_of(graph, [ROUNDS[1]])))
    more = sorted(set(graph.root_packages(id)) - common)
    return f"{len(common)}, and {', '.join(more)}" if more else f"{len(common)}"


def _publishers(item: source.Source) -> list[str]:
    upstream = [] if item.url is None else [re.sub(r"^\w+://([^/]+)/.*", r"\1", item.url)]
    return [*upstream, *(f"Debian {name.partition('=')[0]}" for name in item.debian)]


def _arrays(recipe: Recipe) -> str:
    text = recipe.path.read_text()
    found = [re.search(rf"^{name}=\([^)]*\)", text, re.MULTILINE) for name in _ARRAYS]
    if not any(found):
        raise RecipeError(f"{recipe.id} pins no sources of its own")
    return "\n".join(match[0] for match in sorted(filter(None, found), key=lambda match: match.start()))


def _depends(recipe: Recipe) -> str:
    names = {name for depends in recipe.depends.values() for name in depends} - set(recipe.packages)
    return ", ".join(sorted(names))


def _short(recipe: Recipe, id: str) -> str:
    stage, _, name = id.partition("/")
    return name if stage == recipe.stage else id


def _step_row(recipe: Recipe, entry: Entry) -> tuple[str, str, str, str]:
    outputs = entry.outputs
    # What our own compiler made is the same everywhere; what the host's made is not.
    if recipe.by_host:
        return recipe.id, str(len(outputs)), "", ""
    return recipe.id, str(len(outputs)), size(sum(output.size for output in outputs.values())), entry.output_digest


def _package_rows(recipe: Recipe, entry: Entry) -> list[tuple[str, str, str, str]]:
    rows = []
    for package in recipe.packages:
        output = entry.outputs[package_file(entry, package).name]
        rows.append((package, recipe.version, size(output.size), output.sha256))
    return rows


def _version(package: Path) -> str:
    return package_info(package)["pkgver"][0]
