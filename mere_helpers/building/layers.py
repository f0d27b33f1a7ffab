"""One layer a package: installed once by pacman in a sandbox, compared with what our own reader saw, then reused."""

from __future__ import annotations

import hashlib
import json
import shlex
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ..config import Config
from ..errors import ContainerError, StoreError
from ..files import disk_trouble, full_or, sha256, sync, write_atomically
from ..locks import Locks
from ..sandbox.idmap import as_mapped_root, make_private
from ..sandbox.sandbox import Bind, Sandbox
from ..sandbox.untrusted import check_folder
from ..store.archive import DIRECTORY, FILE, HARD_LINK, SYMLINK, inventory
from .package_file import installed

#: Where an installer has its pacman, and where pacman notes what is installed.
_PACMAN, _DATABASE = "mere/bin/pacman", "var/lib/pacman"

#: How people look into a package file.
_LOOK = "bsdtar -tvf"

#: What pacman's database holds of one package, and of none.
_NOTES = {"desc", "files", "mtree", "install"}

#: Seconds that pacman gets for one package; the largest takes a few.
_PATIENCE_S = 900.0

#: Kind, permissions in octal, owner, target of a link, and sha256.
_File = tuple[str, str, str, str, str]

#: What find calls the types of an archive's members.
_KINDS = {FILE: "f", SYMLINK: "l", DIRECTORY: "d"}

# Package files come out of the verified store.
_CONFIGURATION = "[options]\nSigLevel = Never\nLocalFileSigLevel = Never\n"

#: Layers that this process has found as they were when they were made.
_SEEN: set[tuple[Path, str]] = set()


def package_layer(
    config: Config, package_file: Path, installer: Sequence[Path], *, stop: threading.Event | None = None
) -> Path:
    """The directory with this package installed and nothing else, made at the first call.

    It holds the package's files and its entry of pacman's database, and belongs to the root of sandboxes. Install
    scripts are not run: what they did would be in no file list. What pacman has installed is compared with what our own
    reader finds in the package, so that no file gets into a root that the checks of the package have not seen. A layer
    that has changed since, or that a power failure has cut short, is made again.

    Parameters
    ----------
    config : Config
        Its `store` keeps the layers, by what is in the package file and which pacman installed it.
    installer : sequence of Path
        The root, topmost directory first, of the sandbox in which ``/mere/bin/pacman`` installs the package.
    stop : threading.Event, optional
        Once it is set, nobody waits for another who is making the same layer.

    Raises
    ------
    StoreError
        The package file or pacman cannot be read, or the store not written.
    PackageError
        It is no package, or one that our reader refuses.
    ContainerError
        pacman could not install the package; the message ends with what it said. Or it has installed something else
        than our reader found in it.
    """
    # Another pacman may install in another way.
    pacman = next((layer / _PACMAN for layer in installer if (layer / _PACMAN).exists()), installer[0] / _PACMAN)
    name = hashlib.sha256(f"{_sha256(package_file)} {_sha256(pacman)}".encode()).hexdigest()[:16]
    layer = config.store / "layers" / name
    with _lock(config, layer, stop):
        if not _unchanged(config, layer):
            with disk_trouble():
                _install(config, package_file, installer, layer)
    return layer


def compose(
    config: Config,
    packages: Iterable[Path],
    tools: Sequence[Path],
    installer: Sequence[Path],
    *,
    stop: threading.Event | None = None,
) -> list[Path]:
    """The layers of a root, topmost first: a layer for each package file, over the trees of tools."""
    return [*(package_layer(config, package, installer, stop=stop) for package in packages), *tools]


def all_layers(config: Config) -> list[Path]:
    """The layers of the store, by name."""
    return [path for path in sorted((config.store / "layers").glob("*")) if path.is_dir()]


def is_intact(config: Config, layer: Path) -> bool:
    """Read every file of a layer again: is it what it was when it was made?"""
    with _lock(config, layer):
        record = _record(layer)
        return record is not None and record["contents"] == _contents(_files(config, layer))


def remove_layers(config: Config, keep: Iterable[Path] = ()) -> None:
    """Remove all layers but those in `keep`; the files in them are not ours, so that a plain ``rm`` may not do it."""
    kept = {path.name for path in keep}
    for layer in all_layers(config):
        if layer.name not in kept:
            with _lock(config, layer):
                _remove(config, layer)


def record_file(layer: Path) -> Path:
    """What we know of a layer; it is ours, and out of reach of everybody inside. Without it the layer is made again."""
    return layer.with_name(f"{layer.name}.json")


def _lock(config: Config, layer: Path, stop: threading.Event | None = None) -> AbstractContextManager[None]:
    return Locks(config.store / "locks", stop or threading.Event()).hold(f"layer-{layer.name}")


def _sha256(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise StoreError(f"cannot read {path.name}: {error.strerror}") from error


def _install(config: Config, package_file: Path, installer: Sequence[Path], layer: Path) -> None:
    # Our own reader comes first: what it refuses, pacman does not get to see.
    expected = _expected(package_file)
    _remove(config, layer)
    make_private(config, layer.parent)
    settings = layer.with_name(f"{layer.name}.conf")
    settings.write_text(_CONFIGURATION)
    binds = [Bind(package_file.resolve(), f"/package/{package_file.name}"), Bind(settings, "/pacman.conf")]
    try:
        with Sandbox(config, installer, binds=binds, folders=(f"/layer/{_DATABASE}", "/aside")) as sandbox:
            _run_pacman(sandbox, package_file)
            check_folder(sandbox.upper, "layer")
            made = sandbox.upper / "layer"
            files = _files(config, made)
            found = {name: about for name, about in files.items() if name in expected or not _is_note(name)}
            names = sorted(expected.keys() | found.keys())
            if different := [name for name in names if expected.get(name) != found.get(name)]:
                raise ContainerError(
                    f"pacman has not installed what is in {package_file.name}: {', '.join(different[:5])}",
                    hint=f"{_LOOK} {shlex.quote(str(package_file))}   # two programs read this package differently",
                )
            # A name is given to what the disk has: after a power failure there is all of a layer, or nothing.
            script = 'sync -f "$1" && mv -T "$1" "$2"'
            as_mapped_root(config, ["sh", "-c", script, "sh", made, layer], own=True)
    finally:
        settings.unlink()
    sync(layer.parent)
    write_atomically(record_file(layer), json.dumps({"state": _state(config, layer), "contents": _contents(files)}))


def _run_pacman(sandbox: Sandbox, package_file: Path) -> None:
    command = [f"/{_PACMAN}", "--root", "/layer", "--dbpath", f"/layer/{_DATABASE}", "--config", "/pacman.conf"]
    command += ["--cachedir", "/aside", "--hookdir", "/aside", "--gpgdir", "/aside", "--logfile", "/dev/null"]
    # Dependencies are other layers, so they are not looked for (-dd).
    command += ["-Udd", "--noconfirm", "--noscriptlet", "--noprogressbar", f"/package/{package_file.name}"]
    done = sandbox.run(command, timeout=_PATIENCE_S)
    if done.code or done.reason:
        said = done.reason or done.tail.strip()[-2000:]
        hint = full_or(sandbox.config.store, f"{_LOOK} {shlex.quote(str(package_file))}   # is it a package?")
        raise ContainerError(f"pacman failed for {package_file.name}: {said}", hint=hint)


def _expected(package_file: Path) -> dict[str, _File]:
    """What a package installs, by name, as our own reader sees it."""
    expected: dict[str, _File] = {}
    for name, member in inventory(package_file).items():
        if member.type == HARD_LINK:
            expected[name] = expected[member.link]
        elif installed(name):
            mode = "777" if member.type == SYMLINK else f"{member.mode:o}"
            expected[name] = (_KINDS[member.type], mode, "0:0", member.link, member.sha256)
    return expected


def _is_note(name: str) -> bool:
    """Whether a name is one of pacman's own database, or of a directory above it."""
    if f"{_DATABASE}/local/".startswith(f"{name}/"):
        return True
    parts = name.removeprefix(f"{_DATABASE}/local/").split("/")
    return name.startswith(f"{_DATABASE}/local/") and (len(parts) == 1 or (len(parts) == 2 and parts[1] in _NOTES))


def _unchanged(config: Config, layer: Path) -> bool:
    record = _record(layer)
    if record is None or not layer.is_dir():
        return False
    mark = (layer, record["state"])
    if mark not in _SEEN and record["state"] == _state(config, layer):
        _SEEN.add(mark)
    return mark in _SEEN


def _record(layer: Path) -> dict[str, str] | None:
    try:
        record = json.loads(record_file(layer).read_bytes())
        return {part: str(record[part]) for part in ("state", "contents")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remove(config: Config, layer: Path) -> None:
    record_file(layer).unlink(missing_ok=True)
    if layer.exists():
        as_mapped_root(config, ["rm", "-rf", layer], own=True)


def _contents(files: Mapping[str, _File]) -> str:
    """A hash over all names and their attributes, and over what is in the files."""
    lines = sorted((name, *about) for name, about in files.items())
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()


def _state(config: Config, layer: Path) -> str:
    """A hash over names, inode numbers and times: nobody can change a file and leave its ctime as it was."""
    lines = sorted(_find(config, layer, r"%P %y %m %U:%G %n %i %s %T@ %C@ %l\0").split("\0"))
    return hashlib.sha256("\0".join(lines).encode()).hexdigest()


def _files(config: Config, folder: Path) -> dict[str, _File]:
    """Kind, permissions, owner, target of a link and sha256 of each file below a directory, by name."""
    words = _find(config, folder, r"%P\0%y\0%m\0%U:%G\0%l\0").split("\0")[:-1]
    script = 'cd "$1" && find . -type f -print0 | xargs -0r sha256sum -bz'
    said = as_mapped_root(config, ["sh", "-c", script, "sh", folder]).split("\0")[:-1]
    # Each is "SHA256 *./NAME".
    sums = {line[68:]: line[:64] for line in said}
    return {
        name: (kind, mode, owner, target, sums.get(name, ""))
        for name, kind, mode, owner, target in zip(*[iter(words)] * 5, strict=True)
    }


def _find(config: Config, folder: Path, form: str) -> str:
    return as_mapped_root(config, ["find", folder, "-mindepth", "1", "-printf", form])
