"""One layer a package: installed once by pacman in a folder of its own; any union of layers is an installed system."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..config import Config
from ..errors import StoreError
from ..storage.lock import Locks
from ..storage.tree import disk_trouble
from .idmap import as_mapped_root

# Package files come out of the verified store.
_CONFIGURATION = "[options]\nSigLevel = Never\nLocalFileSigLevel = Never\n"


def package_layer(config: Config, package_file: Path, pacman: Path, *, stop: threading.Event | None = None) -> Path:
    """The folder with this package installed and nothing else, made at the first call.

    It holds the package's files and its entry of pacman's database, and belongs to the root of containers. Install
    scripts are not run: what they did would be in no file list.

    Parameters
    ----------
    config : Config
        Its `store` keeps the layers, by what is in the package file and which pacman installed it.
    package_file : Path
        The package.
    pacman : Path
        A pacman that runs on the host, such as the static one of the temporary tools.
    stop : threading.Event, optional
        Once it is set, nobody waits for another who is making the same layer.

    Raises
    ------
    StoreError
        The package file or pacman cannot be read, or the store not written.
    ContainerError
        pacman could not install the package; the message ends with what it said.
    """
    # Another pacman may install in another way.
    name = hashlib.sha256(f"{_sha256(package_file)} {_sha256(pacman)}".encode()).hexdigest()[:16]
    layer = config.store / "layers" / name
    if layer.is_dir():
        return layer
    with Locks(config.store / "locks", stop or threading.Event()).hold(f"layer-{name}"):
        if not layer.is_dir():
            _install(config, package_file, pacman, layer)
    return layer


def compose(
    config: Config,
    packages: Iterable[Path],
    tools: Sequence[Path],
    pacman: Path,
    *,
    stop: threading.Event | None = None,
) -> list[Path]:
    """The layers of a root, topmost first: a layer for each package file, over the trees of tools."""
    return [*(package_layer(config, package, pacman, stop=stop) for package in packages), *tools]


def remove_layers(config: Config, keep: Iterable[Path] = ()) -> None:
    """Remove all layers but those in `keep`; the files in them are not ours, so that a plain ``rm`` may not do it."""
    kept = {path.name for path in keep}
    for layer in sorted((config.store / "layers").glob("*")):
        if layer.is_dir() and layer.name not in kept:
            with Locks(config.store / "locks", threading.Event()).hold(f"layer-{layer.name.partition('.')[0]}"):
                as_mapped_root(config, ["rm", "-rf", layer], own=True)


def _sha256(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(f"cannot read {path.name}: {error.strerror}") from error


def _install(config: Config, package_file: Path, pacman: Path, layer: Path) -> None:
    aside = layer.with_name(f"{layer.name}.new")
    settings = layer.with_name(f"{layer.name}.conf")
    with disk_trouble():
        layer.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(_CONFIGURATION)
    try:
        # A run that was killed may have left one. The folder is handed over, so that pacman needs no rights of ours.
        script = 'rm -rf "$1" && umask 022 && mkdir -p "$1/root/var/lib/pacman" && chown -R 0:0 "$1"'
        as_mapped_root(config, ["sh", "-c", script, "sh", aside], own=True)
        root = aside / "root"
        command: list[str | Path] = [pacman, "--root", root, "--dbpath", root / "var/lib/pacman", "--config", settings]
        command += ["--cachedir", aside, "--hookdir", aside, "--gpgdir", aside, "--logfile", "/dev/null"]
        # Dependencies are other layers, so they are not looked for (-dd).
        command += ["-Udd", "--noconfirm", "--noscriptlet", "--noprogressbar", package_file.resolve()]
        as_mapped_root(config, command)
        # Inside the folder that pacman was given, a package cannot put itself in the place of the layer.
        as_mapped_root(config, ["sh", "-c", 'mv -T "$1" "$2"', "sh", root, layer], own=True)
    finally:
        settings.unlink(missing_ok=True)
        as_mapped_root(config, ["rm", "-rf", aside], own=True)
