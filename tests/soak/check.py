"""Is a store whole? Every file of every entry and of every layer is read again and compared with what it has to be."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import tarfile
from functools import lru_cache
from pathlib import Path

from mere_helpers.building.scheduler import found
from mere_helpers.errors import StoreError
from mere_helpers.planning.plan import Plan
from mere_helpers.store.store import Store

from .machine import Groups
from .world import World

_SUFFIX = ".pkg.tar.zst"
_DATABASE = "var/lib/pacman"


def digests(world: World) -> dict[str, str]:
    """The checksums of what a later run would find in the store, by build."""
    plan = Plan.from_recipes(world.config)
    return {id: entry.output_digest for id, entry in found(world.config, plan.order(), plan=plan).items()}


def builds(world: World) -> int:
    """How many there are in all."""
    return len(Plan.from_recipes(world.config).order())


def damage(world: World) -> list[str]:
    """What in the store is not whole, a line for each; nothing if all is well."""
    return [*_damaged_entries(world), *_damaged_layers(world)]


def _damaged_entries(world: World) -> list[str]:
    store = Store(world.config)
    entries = list(store.entries())
    # An entry gets its name when it is finished, so one that cannot be read was damaged later.
    readable = {entry.path.name for entry in entries}
    wrong = [
        f"entry {path.name[:12]} cannot be read"
        for path in _listed(world.store / "entries")
        if path.name not in readable
    ]
    for entry in entries:
        try:
            store.verify(entry)
        except StoreError as error:
            wrong.append(error.message)
    return wrong


def layers(world: World) -> list[Path]:
    """The finished layers; what has a dot in its name is on its way in or out."""
    return [path for path in _listed(world.store / "layers") if path.is_dir() and "." not in path.name]


def _damaged_layers(world: World) -> list[str]:
    files = list((world.store / "entries").glob(f"*/out/*{_SUFFIX}"))
    wrong = []
    for layer in layers(world):
        names = [path.name for path in _listed(layer / _DATABASE / "local") if path.is_dir()]
        if len(names) != 1:
            wrong.append(f"layer {layer.name}: pacman's database names {', '.join(names) or 'no package'}")
            continue
        # Several rounds may have made the package, and the layer may be of any of them.
        possible = [path for path in files if path.name.removesuffix(_SUFFIX).rpartition("-")[0] == names[0]]
        differing = [_difference(layer, names[0], path) for path in possible]
        # A layer may also outlive the build that it was made from; then its own listing is what there is to ask.
        if differing and all(differing):
            wrong.append(f"layer {layer.name} of {names[0]}: {differing[0]}")
        elif not differing and (empty := _empty_records(layer, names[0])):
            wrong.append(f"layer {layer.name} of {names[0]}: {empty}")
    return wrong


def _difference(layer: Path, name: str, package: Path) -> str:
    """The first place where a layer is not what the package has in it; empty if there is none."""
    status = package.stat()
    members = _members(package, status.st_ino, status.st_mtime_ns)
    for path, (kind, mode, content) in members.items():
        if path == ".MTREE":
            if _content(layer / _DATABASE / "local" / name / "mtree", "file") != content:
                return "pacman's listing of it differs"
        elif not path.startswith("."):
            try:
                now = layer.joinpath(path).lstat()
                if _kind(now.st_mode) != kind or _content(layer / path, kind) != content:
                    return f"{path} differs"
                if kind != "link" and stat.S_IMODE(now.st_mode) != mode:
                    return f"{path} has mode {stat.S_IMODE(now.st_mode):o}, not {mode:o}"
            except OSError as error:
                return f"{path}: {error.strerror}"
    for folder, folders, files in os.walk(layer):
        for path in (os.path.relpath(os.path.join(folder, name), layer) for name in [*folders, *files]):
            if path not in members and not f"{_DATABASE}/".startswith(f"{path}/") and not path.startswith(_DATABASE):
                return f"{path} is not in the package"
    return _empty_records(layer, name)


def _empty_records(layer: Path, name: str) -> str:
    for record in ("desc", "files", "mtree"):
        path = layer / _DATABASE / "local" / name / record
        if not path.is_file() or not path.stat().st_size:
            return f"pacman's record {record} is empty"
    return ""


@lru_cache(maxsize=64)
def _members(package: Path, inode: int, time_ns: int) -> dict[str, tuple[str, int, str]]:
    """Kind, mode and content of all that a package has in it, read once for each file of that state."""
    found: dict[str, tuple[str, int, str]] = {}
    with subprocess.Popen(["zstd", "-dcq", package], stdout=subprocess.PIPE) as unpacking:
        assert unpacking.stdout
        with tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
            for member in archive:
                if member.islnk():
                    found[member.name] = found[member.linkname]
                elif member.issym():
                    found[member.name] = ("link", 0, member.linkname)
                elif member.isdir():
                    found[member.name] = ("directory", member.mode, "")
                else:
                    data = archive.extractfile(member)
                    assert data
                    found[member.name] = ("file", member.mode, hashlib.sha256(data.read()).hexdigest())
    return found


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "link", stat.S_IFDIR: "directory", stat.S_IFREG: "file"}
    return kinds.get(stat.S_IFMT(mode), "something else")


def _content(path: Path, kind: str) -> str:
    if kind == "link":
        return os.readlink(path)
    if kind == "directory":
        return ""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.glob("*"))


def mounts(world: World) -> list[str]:
    """Where something is mounted inside the store, as seen from here."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [place for line in lines if (place := line.split()[4]).startswith(f"{world.store}/")]


def leftovers(world: World, groups: Groups) -> list[str]:
    """What is in the way of nobody, but is of no use either once no run is under way: a kind and a name for each."""
    places = {
        "containers": [*(world.store / "containers").glob("mere-*"), *(world.store / "containers").glob("gone-*")],
        "layers on their way": [path for path in (world.store / "layers").glob("*") if "." in path.name],
        "work of steps": [*(world.store / "work/steps").glob("*")],
        "entries on their way": [*(world.store / "work/entries").glob("*")],
        "trash": [*(world.store / "work/trash").glob("*")],
        "pools of jobs": [*(world.store / "work/jobs").glob("*")],
        "rooms of books": [*(world.store / "work").glob("book-*")],
    }
    names = [f"{kind}: {path}" for kind, paths in places.items() for path in paths]
    return names + [f"cgroups: {name}" for name in groups.left()]
