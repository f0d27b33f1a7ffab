"""The command line: the words of the book, for a shell."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from .building.cleaning import clean
from .building.scheduler import BudgetError
from .errors import DifferenceError, MereError
from .host.prepare import open_path
from .press import proofs, recipe_index, show, words
from .press.default import session
from .press.table import Table, Text
from .session import PUBLISHED, Session
from .store.substitutes import export
from .text import size
from .verify.contents import verify

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
        result = options.action(session(), options)
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

    word("check", lambda now, options: words.check_host(), "check this machine, and say what mends it")
    word("open", _open, "make the store, and let containers pass to it")
    fetch = word("fetch", lambda now, options: words.fetch(*options.names), "fetch and verify sources")
    fetch.add_argument("names", nargs="*", metavar="NAME", help="a recipe or a stage; everything by default")
    build = word("build", _build, "build what is missing")
    build.add_argument("names", nargs="*", metavar="NAME", help="a recipe or a stage; everything by default")
    run = word("run", _run, "run the book: check, fetch, build, install, and write the outputs into the notebooks")
    run.add_argument("chapters", nargs="*", metavar="CHAPTER", help="how a name begins, such as 06; all by default")
    word("status", _status, "say what is built and what is missing")
    log = word("log", lambda now, options: show.log(options.name, options.lines), "show the log of a build")
    log.add_argument("name", metavar="NAME", help="a recipe")
    log.add_argument("-n", "--lines", type=int, default=40, help="how many of the last lines (default: %(default)s)")
    word("verify", _verify, "read all builds and sources again: are they what they were?")
    cleaning = word("clean", _clean, "remove what was built and nothing else; the sources stay")
    cleaning.add_argument("--sources", action="store_true", help="remove the sources, too")
    pack = word("export", _export, "pack what is built, for others to take in place of building")
    pack.add_argument("folder", type=Path, metavar="FOLDER", help="where the packed builds go")
    pack.add_argument("names", nargs="*", metavar="NAME", help="a recipe or a stage; everything by default")
    costs = word("bench", _bench, "print what the runs cost that filled this store")
    costs.add_argument("--record", action="store_true", help="write down what each build cost, for the book to tell of")
    index = word(
        "index",
        lambda now, options: recipe_index.index(now, renew=options.update),
        "compare the index of recipes with the recipes and the chapters",
    )
    index.add_argument("--update", action="store_true", help="write it anew")
    _add_proofs(word)
    return parser


def _add_proofs(word: Callable[..., argparse.ArgumentParser]) -> None:
    sums = word(
        "digests",
        lambda now, options: proofs.digests(now, renew=options.update),
        "compare with the recorded sums of sources and packages",
    )
    sums.add_argument("--update", action="store_true", help="record them anew, and say what has changed")
    usual = word(
        "usual",
        lambda now, options: proofs.usual(now, renew=options.update),
        "compare what is recorded about Debian's usual packages with Debian's archive",
    )
    usual.add_argument("--update", action="store_true", help="record it anew, and say what has changed")
    rebuild = word(
        "rebuild",
        lambda now, options: proofs.rebuild(now, options.file),
        "build a package of a repository again, from what it says about itself",
    )
    rebuild.add_argument("file", type=Path, metavar="FILE", help="a NAME.pkg.tar.zst, with the others beside it")
    vary = word(
        "vary",
        lambda now, options: proofs.elsewhere(now, options.names),
        "build packages again under other circumstances: the same bytes?",
    )
    vary.add_argument("names", nargs="*", metavar="NAME", help="a recipe; all by default")
    confirm = word(
        "confirm",
        lambda now, options: proofs.confirm(now),
        "build a third round with what was published: equal in every byte?",
    )
    chain = word(
        "chain",
        lambda now, options: proofs.chain(now, options.cc, options.cxx),
        "build everything from other compilers of the host: the same packages in the end?",
    )
    chain.add_argument("cc", metavar="CC", help="the C compiler, such as clang or gcc-11")
    chain.add_argument("cxx", metavar="CXX", help="the C++ compiler that goes with it")
    for comparing in (sums, rebuild, vary, confirm, chain):
        comparing.set_defaults(failed=UNTRIED)
        comparing.epilog = _STATUSES


def _open(now: Session, options: argparse.Namespace) -> None:
    for folder in open_path(now.config):
        print(f"opened a way for containers through {folder}", file=sys.stderr)


def _build(now: Session, options: argparse.Namespace) -> Table:
    words.check_host()
    names = options.names or [PUBLISHED]
    now.ensure_sources(now.resolve(names))
    return words.build(*names)


def _run(now: Session, options: argparse.Namespace) -> None:
    from .press.book import run_book

    run_book(now, only=options.chapters, say=lambda line: print(line, flush=True))


def _status(now: Session, options: argparse.Namespace) -> Table:
    order = now.plan.order()
    entries = now.present(order)
    rows = tuple((id, "built" if id in entries else "missing") for id in order)
    return Table(("build", "state"), rows, note=f"{len(entries)} of {len(rows)} are built")


def _verify(now: Session, options: argparse.Namespace) -> Table:
    found = verify(now.config)
    rows = tuple((part.what, str(part.count), size(part.bytes) if part.bytes else "") for part in found)
    return Table(("what was read again", "number", "size"), rows, note="Everything is what it was.")


def _export(now: Session, options: argparse.Namespace) -> Text:
    entries = now.present(now.resolve(options.names or [PUBLISHED]))
    if not entries:
        raise MereError("nothing of this is built yet", hint="python -m mere_helpers build")
    public = export(now.config, entries.values(), options.folder)
    return Text(f"{len(entries)} builds\nMERE_SUBSTITUTES={options.folder.resolve()}\nMERE_SUBSTITUTES_KEY={public}")


def _clean(now: Session, options: argparse.Namespace) -> Text:
    config, cleaned = now.config, clean(now.config, sources=options.sources)
    fate = ", and so are the source files" if options.sources else "; the source files stay"
    lines = [f"{config.store}: what was built is removed{fate}, in {config.sources}"]
    lines += [f"removed  {path} ({count})" for path, count in cleaned.removed.items()]
    lines += [f"left     {path}   # not ours" for path in cleaned.left]
    return Text("\n".join(lines))


def _bench(now: Session, options: argparse.Namespace) -> Table:
    from .building.recorded import record_run
    from .press.bench import bench

    if options.record:
        record_run(now.config)
    return bench(now)
