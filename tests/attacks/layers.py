"""Packages that want to reach the host while their layer is made: what is in them, by name.

Every program in them is the probe, which then tries all that is in ``attack.list`` of the package (see test_layers.py).
Places of the host are named as in the other tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Package:
    """A package to be installed.

    Attributes
    ----------
    members : tuple of tuple of str
        Kind (``file``, ``program``, ``link``, ``hard``, ``folder``, ``fifo``, ``char``, ``set-uid``), name, and the
        text or target.
    about : str
        More lines of its ``.PKGINFO``.
    name, version : str
        What it calls itself.
    """

    members: tuple[tuple[str, ...], ...]
    about: str = ""
    name: str = "evil"
    version: str = "1-1"
    headers: dict[str, str] = field(default_factory=dict)


_HOOK = """[Trigger]
Operation = Install
Type = Path
Target = *

[Action]
When = PostTransaction
Exec = /bin/attack
"""

#: Where programs are that a package manager, its shell or what comes after it may start.
_PROGRAMS = (
    "nonexistent", "sbin/ldconfig", "bin/ldconfig", "bin/sh", "bin/bash", "bin/mv", "bin/rm", "bin/pacman",
    "bin/bsdtar", "bin/systemctl", "bin/update-mime-database", "mere/bin/bash", "mere/bin/sh", "mere/bin/pacman",
    "mere/bin/ldconfig", "bin/gpg", "bin/cp", "bin/chown",
)  # fmt: skip


def _hook(folder: str) -> Package:
    return Package((("program", "bin/attack"), ("file", f"{folder}/attack.hook", _HOOK)))


PACKAGES = {
    "ldconfig where pacman looks for it": Package(
        (("file", "etc/ld.so.conf", ""), ("program", "sbin/ldconfig"), ("program", "nonexistent"))
    ),
    "ldconfig in the host's order of folders": Package(
        (("file", "etc/ld.so.conf", "/lib\n"), ("program", "usr/sbin/ldconfig"), ("link", "sbin", "usr/sbin"))
    ),
    "ldconfig as a link to a program": Package(
        (
            ("file", "etc/ld.so.conf", ""),
            ("program", "bin/x"),
            ("link", "sbin/ldconfig", "/bin/x"),
            ("link", "nonexistent", "/bin/x"),
        )
    ),
    "hook in usr/share/libalpm/hooks": _hook("usr/share/libalpm/hooks"),
    "hook in mere/share/libalpm/hooks": _hook("mere/share/libalpm/hooks"),
    "hook in share/libalpm/hooks": _hook("share/libalpm/hooks"),
    "hook in etc/pacman.d/hooks": _hook("etc/pacman.d/hooks"),
    "hook through links of folders": Package(
        (
            ("program", "bin/attack"),
            ("file", "h/attack.hook", _HOOK),
            ("link", "usr/share/libalpm/hooks", "../../../h"),
            ("link", "mere/share/libalpm/hooks", "../../../h"),
        )
    ),
    "hook that is a fifo": Package(
        (("fifo", "usr/share/libalpm/hooks/x.hook"), ("fifo", "mere/share/libalpm/hooks/x.hook"))
    ),
    "configuration of ld.so that is a fifo": Package((("fifo", "etc/ld.so.conf"), ("program", "sbin/ldconfig"))),
    "name that climbs out": Package((("file", "bin/../../../../../../../../..$vartmp/new", "evil"),)),
    "name that climbs into another layer": Package((("set-uid", "bin/../../../$other/bin/new"),)),
    "name from the root of the host": Package((("file", "$vartmp/new", "evil"), ("file", "/$tmp/new", "evil"))),
    "link, then a file through it": Package((("link", "out", "$vartmp"), ("file", "out/new", "evil"))),
    "link, then a folder in its place, then a file": Package(
        (("link", "out", "$vartmp"), ("folder", "out/"), ("file", "out/new", "evil"))
    ),
    "links in a chain": Package(
        (("link", "a", "$tmp"), ("link", "b", "a"), ("link", "c", "b/."), ("file", "c/new", "evil"))
    ),
    "hard link to a file of the host": Package(
        (("hard", "out", "$vartmp/file"), ("hard", "up", "../../../../../..$vartmp/file"))
    ),
    "hard link, then new contents": Package((("hard", "out", "$vartmp/file"), ("file", "out", "evil"))),
    "link in the place of the database": Package(
        (("link", "var/lib/pacman/local", "$vartmp"), ("link", "var/lib/pacman", "$vartmp"))
    ),
    "link in the place of the root": Package(
        (("link", ".", "$vartmp"), ("link", "./", "$vartmp"), ("file", "new", "evil"))
    ),
    "name of a package that climbs out": Package((("file", "x", ""),), name="../../../../../../../../..$vartmp/new"),
    "version of a package that climbs out": Package(
        (("file", "x", ""),), version="1/../../../../../../../..$vartmp/new-1"
    ),
    "backup that climbs out": Package(
        (("file", "etc/x", "evil"),), about="backup = ../../../../../../../..$vartmp/file\nbackup = etc/x\n"
    ),
    "install script": Package((("file", ".INSTALL", "post_install() { /bin/attack; }\n"), ("program", "bin/attack"))),
    "install script with its own shell": Package(
        (("file", ".INSTALL", "post_install() { :; }\n"), *(("program", name) for name in _PROGRAMS))
    ),
    "programs in the place of pacman's and the shell's": Package(tuple(("program", name) for name in _PROGRAMS)),
    "libraries in the place of the host's": Package(
        (
            ("program", "lib64/ld-linux-x86-64.so.2"),
            ("program", "lib/ld-musl-x86_64.so.1"),
            ("program", "lib/x86_64-linux-gnu/libc.so.6"),
            ("file", "etc/ld.so.preload", "/lib/evil.so\n"),
        )
    ),
    "another configuration of pacman": Package(
        (
            ("file", "etc/pacman.conf", "[options]\nHookDir = /h\nXferCommand = /bin/attack\n"),
            ("program", "bin/attack"),
            ("file", "h/x.hook", _HOOK),
        )
    ),
    "lock and entries in the database": Package(
        (
            ("file", "var/lib/pacman/db.lck", ""),
            ("file", "var/lib/pacman/local/other-1-1/desc", "%NAME%\nother\n\n%VERSION%\n1-1\n"),
        )
    ),
    "node of a disk and of the memory": Package((("char", "dev/mem", "1,1"), ("char", "dev/kmsg", "1,11"))),
    "program that changes the user": Package((("set-uid", "bin/su"),)),
}
