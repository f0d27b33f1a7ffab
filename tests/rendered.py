"""What tests of the rendered book share: the one strict way in which it is rendered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mere_helpers.config import load_config

CHECKOUT = load_config().checkout


def rendered(room: Path, *options: str) -> Path:
    """Let Jupyter Book render everything, as `make book` does, and return the folder in which its results lie."""
    program = Path(sys.executable).with_name("jupyter-book")
    command = [program, "build", CHECKOUT, "--path-output", room, "-n", "-W", "--keep-going", *options]
    built = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
    said = built.stdout + built.stderr
    assert built.returncode == 0, said[-6000:]
    assert "WARNING" not in said
    return room / "_build"
