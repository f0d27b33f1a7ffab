"""The gate of packages: what a build has made is taken only if it is what its recipe promises, and can do no harm."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

from ..errors import PackageError
from ..planning.recipe import Recipe
from ..store.archive import DIRECTORY, FILE, HARD_LINK, SYMLINK, Archive, Member, read_archive
from .package_file import SUFFIX, installed, parse_fields

#: One hierarchy: these are links of base-layout, and nothing is installed through a link.
_LINKS = {"usr": ".", "lib64": "lib", "sbin": "bin", "var/run": "../run"}

#: Where packages install.
_PLACES = ("bin", "etc", "include", "lib", "libexec", "share", "var")

#: Directories of base-layout that stay empty, until the system runs.
_EMPTY = ("dev", "home", "mnt", "proc", "root", "run", "sys", "tmp")

#: Files about the package that every one may have, and those that a recipe asks for.
_ABOUT = (".BUILDINFO", ".MTREE", ".PKGINFO")
_ASKED_FOR = {".INSTALL": "install", ".CHANGELOG": "changelog"}

#: What pacman takes for its own, or for a reason to run something. A link may lead it to a hook anywhere.
_PACMANS = ("*.hook", "var/lib", "var/lib/pacman", "var/lib/pacman/*", "etc/ld.so.conf")

#: A host with SELinux gives one to every file, whatever is built.
_LABEL = ".xattr.security.selinux"

#: The name of a package file: it is part of commands and of file names.
_NAME = re.compile(r"[A-Za-z0-9@_+][A-Za-z0-9@._+:-]*")

#: Bytes of a package file.
_LARGEST = 1 << 30

#: Files in the output directory beyond the packages of the recipe.
_STRAY = 8


def problems(
    file: Path,
    forbidden: Iterable[str],
    *,
    setuid: Iterable[str] = (),
    mentions: Iterable[str] = (),
    about: Collection[str] = _ABOUT,
) -> list[str]:
    """What is wrong with a package, a line for each; nothing if all is well.

    Parameters
    ----------
    forbidden : iterable of str
        Paths of the build that no file or link may mention.
    setuid, mentions : iterable of str
        Patterns of files that may change the user, or may mention a forbidden path.
    about : collection of str, optional
        The files about the package that it may have. An install script is none of them unless the recipe asks for it.

    Raises
    ------
    PackageError
        It is not a package, as `read_archive`.
    """
    return _problems(read_archive(file, forbidden), tuple(setuid), tuple(mentions), about)


def collect(
    recipe: Recipe, names: Sequence[str], open: Callable[[str], int], target: Path, forbidden: Sequence[str]
) -> list[str]:
    """Copy the package files of a build out of its container; returns what is wrong with them, a line for each.

    Parameters
    ----------
    names : sequence of str
        All names in the output directory.
    open : callable
        Opens the file of a name, for reading and without following links; returns a descriptor.
    target : Path
        The directory that the files are copied to.
    forbidden : sequence of str
        As `problems`.

    Raises
    ------
    PackageError
        A file is not a package, or too large for one.
    ContainerError
        A file cannot be opened.
    """
    if len(names) > len(recipe.packages) + _STRAY:
        return [f"it left {len(names)} files; the recipe makes {len(recipe.packages)}"]
    found: set[str] = set()
    wrong = []
    setuid, mentions, machines = (_listed(recipe, variable) for variable in ("_setuid_ok", "_mere_ok", "arch"))
    about = (*_ABOUT, *(name for name, variable in _ASKED_FOR.items() if _assigned(recipe, variable)))
    for name in names:
        if not name.endswith(SUFFIX) or not _NAME.fullmatch(name):
            wrong.append(f"{_shown(name)}: not a package")
            continue
        _copy(name, open(name), target / name)
        archive = read_archive(target / name, forbidden)
        if ".PKGINFO" not in archive.texts:
            raise PackageError(f"{name} has no .PKGINFO")
        # From now on only file names are asked, so each has to be what its package says of itself.
        info = parse_fields(archive.texts[".PKGINFO"])
        package, version, machine = (_only(info, field) for field in ("pkgname", "pkgver", "arch"))
        if package not in recipe.packages:
            wrong.append(f"{name}: the recipe has no package {package!r}")
        if package in found:
            wrong.append(f"{name}: {package} was made twice")
        if version != recipe.version:
            wrong.append(f"{name}: the recipe is version {recipe.version}, and it says {version!r}")
        if machine not in machines:
            wrong.append(f"{name}: the recipe is for {' '.join(machines)}, and it says {machine!r}")
        if name != f"{package}-{version}-{machine}{SUFFIX}":
            wrong.append(f"{name}: calls itself {_shown(f'{package}-{version}-{machine}{SUFFIX}')}")
        found.add(package)
        wrong += [f"{_shown(package)}: {line}" for line in _problems(archive, setuid, mentions, about)]
    return wrong + [f"{package}: not made" for package in recipe.packages if package not in found]


def attributes(member: Member) -> dict[str, str]:
    """Extended attributes, access control lists and flags of a member, without what a host adds to every file."""
    return {name: value for name, value in member.attributes.items() if not name.endswith(_LABEL)}


def _copy(name: str, source: int, target: Path) -> None:
    with os.fdopen(source, "rb") as file:
        size = os.fstat(source).st_size
        if size > _LARGEST:
            raise PackageError(f"{name} has {size:,} bytes; a package may have {_LARGEST:,}")
        # Nobody who packs leaves holes, which cost nothing there and would be filled with zeros here.
        if size and os.lseek(source, 0, os.SEEK_HOLE) < size:
            raise PackageError(f"{name} is not a package: there are holes in the file")
        os.lseek(source, 0, os.SEEK_SET)
        with target.open("xb") as copy:
            shutil.copyfileobj(file, copy, 1 << 20)


def _problems(archive: Archive, setuid: Sequence[str], mentions: Sequence[str], about: Collection[str]) -> list[str]:
    found = []
    for member in archive.members.values():
        lines = [*_place(member, archive.members, about), *_rights(member, archive.members, setuid)]
        if installed(member.name) and not _matches(member.name, mentions):
            lines += [f"mentions {text}" for text in member.mentions]
        found += [f"{member.name}: {line}" for line in lines]
    return found


def _place(member: Member, members: Mapping[str, Member], about: Collection[str]) -> Iterator[str]:
    name = member.name
    if not installed(name):
        if name not in about or member.type != FILE:
            yield "not a file that the recipe asks for"
        return
    if {"", ".", ".."}.intersection(name.split("/")):
        yield "not a plain path below the root"
        return
    for link, target in _LINKS.items():
        if f"{name}/".startswith(f"{link}/"):
            if not (member.type == SYMLINK and (name, member.link) == (link, target)):
                yield f"nothing may be installed in {link}/"
            return
    top, _, below = name.partition("/")
    if top not in (*_PLACES, *_EMPTY):
        yield f"packages install in {', '.join(_PLACES)}, and nowhere else"
    elif not below and member.type != DIRECTORY:
        yield "not a directory"
    elif below and top in _EMPTY:
        yield f"nothing may be installed in {top}/"
    if member.type != DIRECTORY and _matches(name, _PACMANS):
        yield "pacman itself would read it"
    above = name.rpartition("/")[0]
    while above:
        if above in members and members[above].type != DIRECTORY:
            yield f"below {above}, which is not a directory"
        above = above.rpartition("/")[0]


def _rights(member: Member, members: Mapping[str, Member], setuid: Sequence[str]) -> Iterator[str]:
    if member.uid or member.gid:
        yield f"belongs to {member.uid}:{member.gid}, not to root"
    if member.mode & 0o6000 and member.type != SYMLINK and not _matches(member.name, setuid):
        yield f"changes the user or group (mode {member.mode:04o})"
    if member.type == HARD_LINK and (member.mode != members[member.link].mode or not installed(member.link)):
        yield f"not the same file as {member.link}"
    for attribute in attributes(member):
        yield f"has the attribute {attribute}"


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _only(info: Mapping[str, Sequence[str]], field: str) -> str:
    """The one value of a field; several are as bad as none, because every reader may take another."""
    values = info.get(field, ())
    return values[0] if len(values) == 1 else ""


def _listed(recipe: Recipe, variable: str) -> list[str]:
    """The words of an array of the recipe, as it stands there."""
    match = re.search(rf"^{variable}=\(([^)]*)\)", recipe.path.read_text(), re.MULTILINE)
    return shlex.split(match[1], comments=True) if match else []


def _assigned(recipe: Recipe, variable: str) -> bool:
    """Whether the recipe, or the function of one of its packages, sets a variable."""
    return re.search(rf"^[ \t]*{variable}=", recipe.path.read_text(), re.MULTILINE) is not None


def _shown(name: str) -> str:
    """A name that a build has chosen, with nothing in it that a terminal would obey."""
    return name if name.isascii() and name.isprintable() else ascii(name)
