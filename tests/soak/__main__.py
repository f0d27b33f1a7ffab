"""The command: ``python -m tests.soak``, from the checkout."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mere_helpers.sandbox.idmap import as_mapped_root

from .figures import Figures, Trial
from .load import load
from .machine import Groups, enter_own_mounts, slow_rm
from .processes import adopt_orphans
from .runs import TARGETS
from .trials import Soak
from .world import make_world

#: How often each fault happens, in the long form and in the short one.
_LONG = {"kills": 200, "full_disks": 60, "power_cuts": 20, "pairs": 20, "clock_jumps": 10}
_SHORT = {"kills": 3, "full_disks": 1, "power_cuts": 1, "pairs": 1, "clock_jumps": 1}

#: What only root can try.
_OF_ROOT = {"full_disks": "full disk", "power_cuts": "power cut"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak, print the figures; 0 if nothing was lost."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    counts = {name: getattr(options, name) for name in _LONG}
    counts = {name: (_SHORT if options.short else _LONG)[name] if n is None else n for name, n in counts.items()}
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    figures = Figures()
    if not enter_own_mounts(arguments):
        for option, kind in _OF_ROOT.items():
            if counts.pop(option):
                figures.skipped[kind] = "only root can mount a disk"
        figures.skipped["slow rm everywhere"] = "only root can mount; it is slow for those who look into PATH"
    if shutil.which("gcc") is None and counts.pop("clock_jumps"):
        figures.skipped["clock jump"] = "no gcc, which compiles the clock"
    _say(f"seed {seed}: {', '.join(f'{count} {name}' for name, count in counts.items())}")
    # A script that starts us in the background lets us ignore Ctrl-C, and `timeout` sends the other one.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    adopt_orphans()
    base = Path(tempfile.mkdtemp(prefix="mere-soak-", dir=options.folder))
    base.chmod(0o755)
    world = make_world(base / "checkout", base / "store")
    try:
        with Groups() as groups, load(base / "load", options.load) as busy, slow_rm(base / "rm"):
            # What any single process of a run leaves is for the long form.
            targets = tuple(name for name in TARGETS if not options.short or name != "any process")
            soak = Soak(base, world, random.Random(seed), groups, busy, most=2 if options.short else 4, targets=targets)
            try:
                _say(f"built undisturbed in {soak.build_reference():.0f} s")
                _soak(soak, counts, figures)
            except KeyboardInterrupt:
                figures.skipped["all that was to come"] = "stopped"
            finally:
                soak.close()
    finally:
        as_mapped_root(world.config, ["rm", "-rf", base], own=True)
    print(figures.table())
    if options.json:
        options.json.write_text(json.dumps(figures.data(), indent=1))
    if "all that was to come" in figures.skipped:
        return 130
    return 0 if figures.good else 1


def _soak(soak: Soak, counts: dict[str, int], figures: Figures) -> None:
    makers: dict[str, Callable[[], Trial]] = {
        "kills": soak.kill,
        "full_disks": soak.fill_disk,
        "power_cuts": soak.cut_power,
        "pairs": soak.run_two,
        "clock_jumps": soak.jump_clock,
    }
    for name, count in counts.items():
        for number in range(1, count + 1):
            trial = makers[name]()
            figures.trials.append(trial)
            state = "ok" if trial.good else "WRONG"
            _say(f"{trial.kind} {number} of {count}: {trial.detail}: {state}, {trial.seconds:.1f} s")
            for line in trial.complaints():
                _say(f"    {line}")
            if trial.unclear:
                _say(f"    a traceback: {trial.unclear}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    for name, count in _LONG.items():
        help = f"how many (default: {count}, with --short {_SHORT[name]})"
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help=help)
    parser.add_argument("--seed", type=int, metavar="S", help="what is random follows from it (default: another one)")
    parser.add_argument("--short", action="store_true", help="a minute or so, for every day")
    parser.add_argument("--load", type=int, metavar="N", default=2, help="processes that keep the machine busy")
    parser.add_argument("--folder", type=Path, default=Path("/tmp"), help="where everything happens (default: /tmp)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures for programs")
    return parser


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    os.chdir(Path(__file__).parent.parent.parent)
    sys.exit(main())
