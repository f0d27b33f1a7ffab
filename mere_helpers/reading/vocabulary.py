"""The words of the cells that check, fetch, build, run and install; what each returns looks the same in every run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path

from ..building import schedule
from ..building.builders import package_file
from ..building.package_file import package_contents, package_info
from ..building.repository import tamper as spoil
from ..config import Config, load_config
from ..drawing.recorded import recorded_run
from ..errors import MereError
from ..machine import host
from ..recipes.plan import Plan
from ..recipes.recipe import Recipe
from ..report import Table, Text, size
from ..storage.store import Entry
from ..watching import live
from . import desk, wanted
from .book import chapter_path, needs, taken
from .wanted import built, fetched, ids_of, recipes_of

__all__ = [
    "build",
    "check_host",
    "contents",
    "expect_error",
    "fetch",
    "install",
    "ready",
    "repository",
    "run",
    "tamper",
    "write",
]


def check_host() -> Table:
    """Check everything that the builds need from this machine; an error lists what is missing and what mends it."""
    return host.check_host(load_config())


def fetch(*names: str) -> Table:
    """Bring the sources of these recipes, of all by default, into the cache, and verify each file."""
    config = load_config()
    return fetched(config, recipes_of(config, names))


def ready(chapter: str, *, build: bool = False) -> Text:
    """Is all there that a chapter takes from earlier ones? An error says what is not, and which call builds it.

    Parameters
    ----------
    chapter : str
        How its name begins, such as ``08``.
    build : bool, optional
        Get what is missing: the substitute where there is one, else the sources, to build it. Where nobody looks on, as
        in a run of the whole book, that is done in any case.
    """
    config = load_config()
    graph = Plan.from_recipes(config)
    path = chapter_path(config, chapter)
    needed = taken(config, graph, path)
    present = schedule.found(config, needed, plan=graph)
    missing = [id for id in needed if id not in present]
    if missing and not build and live.front_end():
        raise MereError(
            f"of {len(needed)} builds that this chapter takes from earlier ones, {len(missing)} are missing: "
            + ", ".join(missing[:6])
            + (f" and {len(missing) - 6} more" if len(missing) > 6 else "")
            + f"; {_effort(config, graph, missing)}",
            hint=f'ready("{chapter}", build=True)',
        )
    # What the chapter itself builds is made from sources that an earlier one fetches.
    fetch_missing(config, graph, needs(graph, path))
    built(config, graph, needed)
    return Text("All that this chapter takes from earlier ones is there.")


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
    plain = Path(name).name
    lines = text.strip("\n").splitlines()
    desk.put(load_config(), plain, "".join(f"{line}\n" for line in lines))
    return Text(f"{plain}: {len(lines)} {'line' if len(lines) == 1 else 'lines'}")


@live.stoppable()
def run(
    command: str,
    *,
    tools: str | None = None,
    inside: str | Sequence[str] | None = None,
    confined: bool = True,
    host: bool = False,
) -> Text:
    """Run a shell command in a sandbox and show what it prints; a status other than 0 is an error.

    Parameters
    ----------
    command : str
        For ``sh``.
    tools : str, optional
        A step, such as ``cross/gcc``, or a stage. It and the steps it needs come first in ``PATH``, before the host's
        programs.
    inside : str or sequence of str, optional
        Packages: run in a root that holds these, what they depend on, and the temporary tools. Or ``temptools``: only
        the tools. Or ``rebuild``: the packages that every build of the second round finds, and no tools. Or ``system``:
        the system that `install` makes, and nothing else.
    confined : bool, optional
        False leaves root inside all its capabilities, and refuses no system call: for what only an administrator does.
    host : bool, optional
        Run it on the host itself, as you: only to look at the host. Nothing that we have built runs like this.

    Raises
    ------
    BuildError
        The command failed; the message is what it printed.
    """
    config = load_config()
    if host:
        return Text(desk.run_on_host(config, command))
    if inside is not None:
        return Text(desk.run_in_container(config, command, *wanted.root_of(config, inside), confined=confined))
    entries: dict[str, Entry] = {}
    if tools is not None:
        graph = Plan.from_recipes(config)
        chosen = ids_of(graph, [tools])
        entries = built(config, graph, chosen)
        present = {*chosen, *(needed for id in chosen for needed in graph.recipes[id].makedepends)}
        entries = {id: entries[id] for id in sorted(present)}
    return Text(desk.run_with_tools(config, command, entries, confined=confined))


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


def expect_error(word: Callable, *arguments: object, **options: object) -> Text:
    """Say a word that must fail, and show its error; that it does not fail is an error."""
    try:
        word(*arguments, **options)
    except MereError as error:
        # Where the log is differs from machine to machine.
        return Text(f"{type(error).__name__}: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""))
    raise MereError(f"{word.__name__} was expected to fail, and did not")


def fetch_missing(config: Config, graph: Plan, ids: Sequence[str]) -> None:
    """Fetch what those among these builds, and among all that they need, are made from which have to be built."""
    present = {*schedule.found(config, ids, plan=graph), *schedule.offered(config, ids, plan=graph)}
    if missing := [id for id in graph.closure(ids) if id not in present]:
        fetched(config, [graph.recipes[id] for id in missing])


def _effort(config: Config, graph: Plan, ids: Sequence[str]) -> str:
    """What it takes to get these builds, in words."""
    offered = schedule.offered(config, ids, plan=graph)
    rest = [id for id in ids if id not in offered]
    if not rest:
        return "there are substitutes for all of them, and nothing has to be built"
    minutes = f"takes about {recorded_run(config).cpu_s(rest) / 60:.0f} minutes of processor time"
    if len(rest) == len(ids):
        return f"building {minutes}"
    return f"there are substitutes for {len(ids) - len(rest)} of them; building the others {minutes}"


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
