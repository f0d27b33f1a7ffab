"""The ways on which code from elsewhere is run, one function each: what is renamed there changes one line here."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mere_helpers.building.build import build as run_build
from mere_helpers.building.builders import step_work
from mere_helpers.building.jobserver import Jobserver
from mere_helpers.building.layers import package_layer
from mere_helpers.config import Config
from mere_helpers.errors import BuildError, CommandError
from mere_helpers.planning.recipe import Recipe
from mere_helpers.press.workspace import run_with_tools
from mere_helpers.sandbox.sandbox import Sandbox
from mere_helpers.store.store import Entry, Store

#: Seconds, for a busy machine; an attack that has not come to its end has not been tried.
TIMEOUT = 60.0

_BEGUN = "attack-begun"

__all__ = ["TIMEOUT", "Sandbox", "build", "in_cell", "in_sandbox", "in_step", "layer", "probe_entry"]


def probe_entry(config: Config, probe: Path) -> Entry:
    """A build in the store that brings the probe, to be a tool of steps and cells."""

    def produce(folder: Path) -> dict:
        (folder / "out/mere/bin").mkdir(parents=True)
        shutil.copy(probe, folder / "out/mere/bin/probe")
        (folder / "out/data").write_text("data of a tool\n")
        return {}

    return Store(config).add("cross/probe", "a" * 64, {}, produce)


def build(
    config: Config,
    text: str,
    *,
    name: str = "attack",
    tools: Mapping[str, Entry] | None = None,
    jobserver: Jobserver | None = None,
    timeout: float | None = TIMEOUT,
) -> Entry:
    """Build a step of this text."""
    path = config.checkout / f"{name}.sh"
    path.write_text(text)
    recipe = Recipe("cross", name, path, "", (), "", "", (), {}, (), (), (path,))
    key = hashlib.sha256((name + text).encode()).hexdigest()
    work = step_work(config, recipe, tools or {})
    return run_build(config, Store(config), recipe, work, jobserver, key=key, timeout=timeout)


def in_step(config: Config, script: str, tool: Entry, jobserver: Jobserver | None = None) -> str:
    """Run a script as a step's build; the result is all that it printed, and why the step failed if it did."""
    text = f"build() {{ (\nset +eu\necho {_BEGUN}\n{script}\n) || :; }}\npackage() {{ :; }}\n"
    try:
        entry = build(config, text, tools={"cross/probe": tool}, jobserver=jobserver)
        said = entry.log.read_text(errors="replace")
        Store(config).remove(entry)
    except BuildError as error:
        said = Path(error.log).read_text(errors="replace") if error.log else ""
        # The end of the log is in the message once more.
        said += f"\nfailed: {error.message.splitlines()[0]}"
    assert _BEGUN in said and "still running after" not in said, f"not tried: {said[-2000:]}"
    return said


def in_cell(config: Config, script: str, tool: Entry) -> str:
    """Run a script as a cell with tools; the result is as that of `in_step`."""
    try:
        said = run_with_tools(config, f"(\nset +e\necho {_BEGUN}\n{script}\n) || :", {"cross/probe": tool})
    except CommandError as error:
        said = error.message
    assert _BEGUN in said, f"not tried: {said[-2000:]}"
    return said


def in_sandbox(config: Config, layers: Sequence[Path], command: Sequence[str], **options: Any) -> str:
    """Run a command in a sandbox of its own; the result is all that it printed."""
    log = config.store / "attack.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    with Sandbox(config, layers, **options) as sandbox:
        sandbox.run(command, log=log, timeout=4 * TIMEOUT)
    return log.read_text(errors="replace")


def layer(config: Config, package: Path, installer: Sequence[Path]) -> Path:
    """Make the layer of a package; `installer` is the root in which pacman does it."""
    return package_layer(config, package, installer)
