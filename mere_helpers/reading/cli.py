"""The command line: the words of the book, for a shell."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from ..building.schedule import BudgetError, found
from ..config import Config, load_config
from ..errors import DifferenceError, MereError
from ..machine.host import open_path
from ..proving.verify import verify
from ..recipes.plan import Plan
from ..report import Table, Text
from ..storage.export import export
from . import looking, places, proofs, vocabulary
from .cleaning import clean, cleaned_text
from .wanted import PUBLISHED, ids_of

#: Exit status when the time that was given is used up: not a failure, only not the end.
OUT_OF_TIME = 75

#: Exit status of commands that compare when something could not be compared; a difference is 1, as diff has it.
UNTRIED = 2

_STATUSES = (
    "exit status: 0 all is equal; 1 a comparison has ended with a difference; 2 none has, but something could not be "
    "compared (a failed build, a full disk, a missing source...); 75 the time of MERE_DEADLINE or MERE_BUDGET is up; "
    "130 stopped. Only a difference takes something back from recipes/proofs.toml; what could not be compared proves "
    "nothing, and changes nothing. That a build fails where the first one did not is no difference, either."
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
        return 1 if isinstance(error, DifferenceError) else options.failed
    except KeyboardInterrupt:
        print("stopped; what was finished is kept, run again to go on", file=sys.stderr)
        return 130
    except Exception:
        if options.failed == 1:
            raise
        # Python itself would end with the status of a difference.
        traceback.print_exc()
        return options.failed
    if result is not None:
        print(result)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mere_helpers", description="Build Mere Linux from source.")
    actions = parser.add_subparsers(required=True, metavar="WORD")

    def word(name: str, action: object, help: str) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
        added.set_defaults(action=action, failed=1)
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
    word(
        "verify", lambda config, options: verify(config), "read all builds and sources again: are they what they were?"
    )
    cleaning = word("clean", _clean, "remove what was built and nothing else; the sources stay")
    cleaning.add_argument("--sources", action="store_true", help="remove the sources, too")
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
    confirm = word(
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
    for comparing in (sums, rebuild, vary, confirm, chain):
        comparing.set_defaults(failed=UNTRIED)
        comparing.epilog = _STATUSES


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
    return cleaned_text(config, clean(config, sources=options.sources), sources=options.sources)


def _bench(config: Config, options: argparse.Namespace) -> Table:
    from ..drawing.recorded import record_run
    from .bench import bench

    if options.record:
        record_run(config)
    return bench(config)
