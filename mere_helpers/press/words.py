"""The words of the cells that check, fetch, build, run and install; what each returns looks the same in every run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path

from ..building.builders import package_file
from ..building.package_file import package_contents, package_info
from ..building.recorded import recorded_run
from ..building.repository import tamper as spoil
from ..errors import MereError
from ..frontend import front_end
from ..host import prepare as host
from ..planning.recipe import Recipe
from ..session import Session
from ..store.store import Entry
from ..text import size
from . import workspace
from .book import chapter_path, taken, uses
from .default import session
from .table import Table, Text
from .widgets import live


def check_host() -> Table:
    """Check everything that the builds need from this machine; an error lists what is missing and what mends it."""
    checked = host.check_host(session().config)
    return Table(("what builds need", "found"), tuple((name, "ok") for name in checked))


def fetch(*names: str) -> Table:
    """Bring the sources of these recipes, of all by default, into the cache, and verify each file."""
    files = session().ensure_fetched(session().recipes(names))
    rows = tuple((file.name, f"{file.size:,}", file.sha256) for file in files)
    total = size(sum(file.size for file in files))
    note = f"{len(rows)} file{'s' * (len(rows) != 1)}, {total}; every one equals its pin."
    return Table(("file", "bytes", "sha256"), rows, note=note)


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
    now = session()
    path = chapter_path(now.config, chapter)
    needed = taken(now, path)
    present = now.present(needed)
    missing = [id for id in needed if id not in present]
    if missing and not build and front_end():
        raise MereError(
            f"of {len(needed)} builds that this chapter takes from earlier ones, {len(missing)} are missing: "
            + ", ".join(missing[:6])
            + (f" and {len(missing) - 6} more" if len(missing) > 6 else "")
            + f"; {_effort(now, missing)}",
            hint=f'ready("{chapter}", build=True)',
        )
    # What the chapter itself builds is made from sources that an earlier one fetches.
    now.ensure_sources(uses(now, path))
    # What is only made ready is not what the chapter itself uses.
    now.ensure_built(needed, use=False)
    return Text("All that this chapter takes from earlier ones is there.")


def build(*names: str) -> Table:
    """Build these recipes, or a whole stage, with everything they need, or take from the store what is there."""
    ids, recipes = session().resolve(names), session().plan.recipes
    entries = session().ensure_built(ids)
    steps = [_step_row(recipes[id], entries[id]) for id in ids if not recipes[id].packages]
    packages = [row for id in ids for row in _package_rows(recipes[id], entries[id])]
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
    provider = session().plan.provider(name)
    files = package_contents(package_file(session().ensure_built([provider])[provider], name))
    return Text("\n".join(sorted(file for file in files if fnmatch(file, pattern) and not file.endswith("/"))))


def write(name: str, text: str) -> Text:
    """Put a file on the desk, where `run` finds it."""
    plain = Path(name).name
    lines = text.strip("\n").splitlines()
    workspace.put(session().config, plain, "".join(f"{line}\n" for line in lines))
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
    now = session()
    if host:
        return Text(workspace.run_on_host(now.config, command))
    if inside is not None:
        return Text(workspace.run_in_container(now.config, command, *now.root(inside), confined=confined))
    entries: dict[str, Entry] = {}
    if tools is not None:
        chosen = now.resolve([tools])
        built = now.ensure_built(chosen)
        present = {*chosen, *(needed for id in chosen for needed in now.plan.recipes[id].makedepends)}
        entries = {id: built[id] for id in sorted(present)}
    return Text(workspace.run_with_tools(now.config, command, entries, confined=confined))


@live.stoppable()
def repository() -> Table:
    """Sign all packages and the database, and publish them as a repository that pacman can use."""
    found = session().publish()
    rows = tuple((name, _version(file), size(file.stat().st_size)) for name, file in sorted(found.files.items()))
    total = sum(file.stat().st_size for file in found.files.values())
    note = f"{len(rows)} packages, {size(total)}; each with a signature, and so is the database."
    return Table(("package", "version", "size"), rows, note=note)


@live.stoppable()
def install() -> Table:
    """Install every package of the repository into an empty folder, with pacman alone; `run` enters it as "system"."""
    found, _ = session().install()
    infos = {name: package_info(file) for name, file in sorted(found.files.items())}
    rows = tuple((name, info["pkgver"][0], size(int(info["size"][0]))) for name, info in infos.items())
    total = sum(int(info["size"][0]) for info in infos.values())
    return Table(("package", "version", "installed"), rows, note=f"{len(rows)} packages, {size(total)}")


@live.stoppable()
def tamper(what: str, how: str) -> Text:
    """Spoil a copy of the repository and let the installed system use it; that it refuses is an error.

    Parameters
    ----------
    what : {"package", "database"}
    how : {"altered", "unsigned", "resigned"}
    """
    found, system = session().install()
    return Text(spoil(session().config, found, system, what, how))


def expect_error(word: Callable, *arguments: object, **options: object) -> Text:
    """Say a word that must fail, and show its error; that it does not fail is an error."""
    try:
        word(*arguments, **options)
    except MereError as error:
        # Where the log is differs from machine to machine.
        return Text(f"{type(error).__name__}: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""))
    raise MereError(f"{word.__name__} was expected to fail, and did not")


def _effort(now: Session, ids: Sequence[str]) -> str:
    """What it takes to get these builds, in words."""
    offered = now.offered(ids)
    rest = [id for id in ids if id not in offered]
    if not rest:
        return "there are substitutes for all of them, and nothing has to be built"
    minutes = f"takes about {recorded_run(now.config).cpu_s(rest) / 60:.0f} minutes of processor time"
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
