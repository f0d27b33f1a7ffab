"""The command line: the words of the book, for a shell."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

from ..building.schedule import BudgetError, found
from ..config import Config, load_config
from ..containers.claim import remove_dead
from ..containers.idmap import as_mapped_root
from ..containers.layers import remove_layers
from ..errors import MereError
from ..machine.host import open_path
from ..recipes.plan import Plan
from ..report import Table, Text
from ..storage.export import export
from ..storage.lock import Locks
from ..storage.tree import remove_tree
from . import looking, places, proofs, vocabulary
from .wanted import PUBLISHED, ids_of

#: Exit status when the time that was given is used up: not a failure, only not the end.
OUT_OF_TIME = 75

#: What we put into a store, sources aside.
_CONTENTS = (
    *("apt", "book.jsonl", "entries", "failed", "key", "latest", "layers"),
    *("locks", "logs", "repositories", "runs", "substitutes.key", "substitutes.seen", "systems", "work"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        result = options.action(load_config(), options)
    except BudgetError as error:
        print(error, file=sys.stderr)
        return OUT_OF_TIME
    except MereError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what was finished is kept, run again to go on", file=sys.stderr)
        return 130
    if result is not None:
        print(result)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mere_helpers", description="Build Mere Linux from source.")
    actions = parser.add_subparsers(required=True, metavar="WORD")

    def word(name: str, action: object, help: str) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
        added.set_defaults(action=action)
        return added

    word("check", lambda config, options: vocabulary.check_host(), "check this machine, and say what mends it")
    word("open", _open, "make the store, and let containers pass to it")
    fetch = word("fetch", lambda config, options: vocabulary.fetch(*options.names), "fetch and verify sources")
    fetch.add_argument("names", nargs="*", metavar="NAME", help="a recipe or a stage; everything by default")
    build = word("build", _build, "build what is missing")
    build.add_argument("names", nargs="*", metavar="NAME", help="a recipe or a stage; everything by default")
    run = word("run", _run, "run the book: check, fetch, build, install, and write the outputs into the notebooks")
    run.add_argument("chapters", nargs="*", metavar="CHAPTER", help="how a name begins, such as 06; all by default")
    word("status", _status, "say what is built and what is missing")
    log = word("log", lambda config, options: looking.log(options.name, options.lines), "show the log of a build")
    log.add_argument("name", metavar="NAME", help="a recipe")
    log.add_argument("-n", "--lines", type=int, default=40, help="how many of the last lines (default: %(default)s)")
    clean = word("clean", _clean, "remove what was built; the sources stay")
    clean.add_argument("--sources", action="store_true", help="remove the sources, too")
    pack = word("export", _export, "pack what is built, for others to take in place of building")
    pack.add_argument("folder", type=Path, metavar="FOLDER", help="where the packed builds go")
    pack.add_argument("names", nargs="*", metavar="NAME", help="a recipe or a stage; everything by default")
    costs = word("bench", _bench, "print what the runs cost that filled this store")
    costs.add_argument("--record", action="store_true", help="write down what each build cost, for the book to tell of")
    index = word(
        "index",
        lambda config, options: places.index(config, renew=options.update),
        "compare the index of recipes with the recipes and the chapters",
    )
    index.add_argument("--update", action="store_true", help="write it anew")
    _add_proofs(word)
    return parser


def _add_proofs(word: Callable[..., argparse.ArgumentParser]) -> None:
    sums = word(
        "digests",
        lambda config, options: proofs.digests(config, renew=options.update),
        "compare with the recorded sums of sources and packages",
    )
    sums.add_argument("--update", action="store_true", help="record them anew, and say what has changed")
    usual = word(
        "usual",
        lambda config, options: proofs.usual(config, renew=options.update),
        "compare what is recorded about Debian's usual packages with Debian's archive",
    )
    usual.add_argument("--update", action="store_true", help="record it anew, and say what has changed")
    rebuild = word(
        "rebuild",
        lambda config, options: proofs.rebuild(config, options.file),
        "build a package of a repository again, from what it says about itself",
    )
    rebuild.add_argument("file", type=Path, metavar="FILE", help="a NAME.pkg.tar.zst, with the others beside it")
    vary = word(
        "vary",
        lambda config, options: proofs.elsewhere(config, options.names),
        "build packages again under other circumstances: the same bytes?",
    )
    vary.add_argument("names", nargs="*", metavar="NAME", help="a recipe; all by default")
    word(
        "confirm",
        lambda config, options: proofs.confirm(config),
        "build a third round with what was published: equal in every byte?",
    )
    chain = word(
        "chain",
        lambda config, options: proofs.chain(config, options.cc, options.cxx),
        "build everything from other compilers of the host: the same packages in the end?",
    )
    chain.add_argument("cc", metavar="CC", help="the C compiler, such as clang or gcc-11")
    chain.add_argument("cxx", metavar="CXX", help="the C++ compiler that goes with it")


def _open(config: Config, options: argparse.Namespace) -> None:
    for folder in open_path(config):
        print(f"opened a way for containers through {folder}", file=sys.stderr)


def _build(config: Config, options: argparse.Namespace) -> Table:
    vocabulary.check_host()
    graph = Plan.from_recipes(config)
    names = options.names or [PUBLISHED]
    vocabulary.fetch_missing(config, graph, ids_of(graph, names))
    return vocabulary.build(*names)


def _run(config: Config, options: argparse.Namespace) -> None:
    from .book import run_book

    run_book(config, only=options.chapters, say=lambda line: print(line, flush=True))


def _status(config: Config, options: argparse.Namespace) -> Table:
    graph = Plan.from_recipes(config)
    entries = found(config, graph.order(), plan=graph)
    rows = tuple((id, "built" if id in entries else "missing") for id in graph.order())
    return Table(("build", "state"), rows, note=f"{len(entries)} of {len(rows)} are built")


def _export(config: Config, options: argparse.Namespace) -> Text:
    graph = Plan.from_recipes(config)
    entries = found(config, ids_of(graph, options.names or [PUBLISHED]), plan=graph)
    if not entries:
        raise MereError("nothing of this is built yet", hint="python -m mere_helpers build")
    public = export(config, entries.values(), options.folder)
    return Text(f"{len(entries)} builds\nMERE_SUBSTITUTES={options.folder.resolve()}\nMERE_SUBSTITUTES_KEY={public}")


def _clean(config: Config, options: argparse.Namespace) -> Text:
    """Only what is ours by name: the store may have been pointed at a folder that holds other things."""
    _refuse_if_busy(config.store / "locks")
    if options.sources:
        _refuse_if_busy(config.sources / "locks")
    # A container that somebody uses right now stays; the others go in the background.
    remove_dead(config)
    if (config.store / "layers").is_dir():
        remove_layers(config)
    for name in _CONTENTS:
        path = config.store / name
        if path.is_dir():
            try:
                remove_tree(path)
            except PermissionError:
                as_mapped_root(config, ["rm", "-rf", path], own=True)
        else:
            path.unlink(missing_ok=True)
    removed = f"{config.store}: what was built is removed"
    if not options.sources:
        return Text(f"{removed}; the source files stay, in {config.sources}")
    shutil.rmtree(config.sources, ignore_errors=True)
    return Text(f"{removed}, and so are the source files, in {config.sources}")


def _refuse_if_busy(folder: Path) -> None:
    """A lock that somebody holds in a folder of locks is an error: what it protects must not be taken away."""
    locks = Locks(folder, Event())
    for path in sorted(folder.glob("*")):
        with locks.try_hold(path.name) as free:
            if not free:
                raise MereError(
                    f"somebody is busy with what is to be removed: {path} is locked",
                    hint="wait until the other run has ended, or stop it; then clean again",
                )


def _bench(config: Config, options: argparse.Namespace) -> Table:
    from ..drawing.recorded import record_run
    from .bench import bench

    if options.record:
        record_run(config)
    return bench(config)
