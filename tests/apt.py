"""Programs that stand in for apt and answer from files."""

from __future__ import annotations

from pathlib import Path

import pytest


class Apt:
    """A stand-in on the path.

    Parameters
    ----------
    folder : Path
        For the programs and their answers.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in ("apt-get", "apt-config", "apt-cache"):
            (folder / name).write_text(f"#!/bin/sh\nexec cat {folder}/{name}.answer\n")
            (folder / name).chmod(0o755)
            self.answer(name, "")

    def answer(self, name: str, text: str) -> None:
        """What a program prints from now on."""
        (self.folder / f"{name}.answer").write_text(text)

    def knows(self, main: str, security: str = "") -> None:
        """Let ``apt-get update --print-uris`` name these archives."""
        lines = [f"'{main}/dists/trixie/InRelease' x 0", f"'{main}/dists/trixie/main/binary-amd64/Packages.xz' x 0"]
        if security:
            lines.append(f"'{security}/dists/trixie-security/main/source/Sources.xz' x 0")
        self.answer("apt-get", "\n".join(lines) + "\n")


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apt:
    """The machine's own apt is not asked."""
    made = Apt(tmp_path / "apt")
    monkeypatch.setenv("PATH", f"{made.folder}:/usr/bin:/bin")
    return made
