"""The single checks of a host: small functions, each of which says what is wrong and which command mends it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..config import Config, clean_environment
from ..containers.idmap import id_range
from ..errors import ContainerError
from .distribution import install_command, privilege

#: Programs that steps and containers run on the host, and the Debian package that has each.
PROGRAMS = {
    "awk": "mawk", "bash": "bash", "bzip2": "bzip2", "cmp": "diffutils", "file": "file", "find": "findutils",
    "gcc": "gcc", "g++": "g++", "grep": "grep", "gzip": "gzip", "install": "coreutils", "m4": "m4", "make": "make",
    "patch": "patch", "pkg-config": "pkg-config", "sed": "sed", "setfacl": "acl", "setpriv": "util-linux",
    "tar": "tar", "unshare": "util-linux", "xz": "xz-utils", "zstd": "zstd",
}  # fmt: skip

KERNEL = (5, 11)
PYTHON = (3, 11)
LXC = 5

#: GiB that a first run needs on the store's disk, and that a later one needs.
DISK_FIRST, DISK_LATER = 15, 3

#: GiB of memory; a machine sold with 4 shows a little less.
MEMORY = 3.5

_INIT_FOLDERS = ("/sbin", "/usr/sbin", "/bin", "/usr/bin", "/usr/libexec/lxc", "/usr/lib/lxc", "/usr/local/sbin")
_C_PROGRAM = '#include <stdio.h>\nint main(void) { return puts("ok") < 0; }\n'
_CXX_PROGRAM = (
    "#include <stdexcept>\n#include <iostream>\n"
    'int main() { try { throw std::runtime_error("ok"); } catch (std::exception &e) { std::cout << e.what(); } }\n'
)


@dataclass(frozen=True)
class Check:
    """What a check found: nothing; or a problem and the commands that mend it, one a line; or what is good to know."""

    problem: str = ""
    mend: str = ""
    note: str = ""


@dataclass(frozen=True)
class Host:
    """The host as the checks see it; tests put other folders here."""

    config: Config
    etc: Path = Path("/etc")
    proc: Path = Path("/proc")

    def number(self, setting: str) -> int | None:
        """A kernel setting such as ``user/max_user_namespaces``, or ``None`` where the kernel does not know it."""
        try:
            return int((self.proc / "sys" / setting).read_text())
        except (OSError, ValueError):
            return None

    def near_store(self) -> Path:
        """The store, or the deepest folder above it that exists."""
        return next(path for path in (self.config.store, *self.config.store.parents) if path.is_dir())


def machine(host: Host) -> Check:
    """Only one architecture is described."""
    if platform.machine() == "x86_64":
        return Check()
    return Check(f"this is {platform.machine()}", "use a 64-bit PC")


def kernel(host: Host) -> Check:
    """overlayfs without root came with Linux 5.11."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])
    if numbers >= KERNEL:
        return Check()
    return Check(f"this is {platform.release()}", "upgrade the kernel, then start the machine again")


def user_namespaces(host: Host) -> Check:
    """A process may become root of its own small world."""
    said = _try(["unshare", "--user", "--map-root-user", "true"])
    return Check() if said is None else Check(said, _namespace_mend(host))


def networkless(host: Host) -> Check:
    """A process may do without a network."""
    said = _try(["unshare", "--user", "--map-current-user", "--net", "true"])
    return Check() if said is None else Check(said, _namespace_mend(host))


def overlay(host: Host) -> Check:
    """An overlay may be mounted without root, on the store's own file system."""
    script = (
        "mkdir lower upper work merged && mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged"
        " && echo ok > merged/file && test -s upper/file"
    )
    try:
        with tempfile.TemporaryDirectory(dir=host.near_store(), prefix=".check") as folder:
            said = _try(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script], cwd=Path(folder))
    except OSError as error:
        return Check(f"cannot write to {host.near_store()}: {error.strerror}", "export MERE_STORE=/a/folder/of/yours")
    if said is None:
        return Check()
    if mend := user_namespaces(host).mend:
        return Check(said, mend)
    elsewhere = "export MERE_STORE=/a/folder/on/ext4/xfs/or/btrfs"
    return Check(said, f"{privilege()}modprobe overlay\n{elsewhere}")


def id_ranges(host: Host) -> Check:
    """This user may hand ids to containers."""
    try:
        id_range(host.config, folder=host.etc)
    except ContainerError as error:
        return Check(error.message.splitlines()[0], error.hint)
    return Check()


def id_mappers(host: Host) -> Check:
    """newuidmap and newgidmap write the maps with privileges of their own: a set-uid bit or a file capability."""
    for program in ("newuidmap", "newgidmap"):
        path = shutil.which(program)
        if path is None:
            return Check(f"no {program}", install_command(["uidmap"], host.etc))
        if os.getuid() and not os.stat(path).st_mode & stat.S_ISUID and "security.capability" not in os.listxattr(path):
            return Check(f"{program} has lost its set-uid bit", f"{privilege()}chmod u+s {path}")
    return Check()


def lxc(host: Host) -> Check:
    """LXC's command line tools."""
    mend = install_command(["lxc"], host.etc)
    for program in ("lxc-execute", "lxc-usernsexec", "lxc-stop"):
        if shutil.which(program) is None:
            return Check(f"no {program}", mend)
    version = subprocess.run(["lxc-execute", "--version"], capture_output=True, text=True).stdout.strip()
    if not version.partition(".")[0].isdigit() or int(version.partition(".")[0]) < LXC:
        return Check(f"this is {version or 'of no known version'}", f"upgrade the distribution, or: {mend}")
    return Check()


def container_init(host: Host) -> Check:
    """The static first process, which LXC brings into a root that has no programs yet."""
    if any(os.access(f"{folder}/init.lxc.static", os.X_OK) for folder in _INIT_FOLDERS):
        return Check()
    return Check("no init.lxc.static", install_command(["lxc"], host.etc))


def programs(host: Host) -> Check:
    """Everything in `PROGRAMS` is there, and setpriv can end what it starts when we die, which busybox's cannot."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return Check(f"no {', '.join(absent)}", install_command({PROGRAMS[program] for program in absent}, host.etc))
    said = _try(["setpriv", "--pdeathsig", "KILL", "true"])
    return Check() if said is None else Check(said, install_command([PROGRAMS["setpriv"]], host.etc))


def static_program(host: Host, compiler: str, suffix: str, text: str, packages: Sequence[str]) -> Check:
    """The compiler links a static program, and it runs."""
    mend = install_command(packages, host.etc)
    if shutil.which(compiler) is None:
        return Check(f"no {compiler}", mend)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"try{suffix}").write_text(text)
        said = _try([compiler, "-static", "-o", "try", f"try{suffix}"], cwd=Path(folder))
        if said is None:
            # A folder for temporary files may forbid programs to run; linking is what matters then.
            return Check()
    return Check(f"{compiler} cannot link a static program: {said}", mend)


def python(host: Host) -> Check:
    """The Python that runs this."""
    if sys.version_info >= PYTHON:
        return Check()
    return Check(f"this is {platform.python_version()}", install_command(["python3"], host.etc))


def disk(host: Host) -> Check:
    """Room at the store."""
    need = DISK_LATER if (host.config.store / "entries").is_dir() else DISK_FIRST
    free = shutil.disk_usage(host.near_store()).free / (1 << 30)
    if free >= need:
        return Check()
    return Check(
        f"{free:.1f} of {need} GiB free at {host.near_store()}", "export MERE_STORE=/a/folder/on/a/larger/disk"
    )


def memory(host: Host) -> Check:
    """Memory in all."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", (host.proc / "meminfo").read_text(), re.MULTILINE)
    gib = int(found[1]) / (1 << 20) if found else 0.0
    return Check() if gib >= MEMORY else Check(f"{gib:.1f} GiB", "use a machine with more memory")


CHECKS: dict[str, Callable[[Host], Check]] = {
    "an x86_64 machine": machine,
    "Linux 5.11 or later": kernel,
    "programs that steps run": programs,
    "gcc with a static C library": partial(
        static_program, compiler="gcc", suffix=".c", text=_C_PROGRAM, packages=["gcc", "libc6-dev"]
    ),
    "g++ with a static C++ library": partial(
        static_program, compiler="g++", suffix=".cc", text=_CXX_PROGRAM, packages=["g++", "libc6-dev"]
    ),
    "Python 3.11 or later": python,
    "user namespaces": user_namespaces,
    "builds without a network": networkless,
    "overlays without root": overlay,
    "65,536 ids for containers": id_ranges,
    "newuidmap and newgidmap": id_mappers,
    "LXC 5.0 or later": lxc,
    "LXC's static init": container_init,
    "15 GiB of disk": disk,
    "4 GiB of memory": memory,
}


def _try(command: Sequence[str], cwd: Path = Path("/")) -> str | None:
    """Run a command; return ``None`` if all is well, or the last line of what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=clean_environment(), timeout=60)
    except FileNotFoundError:
        return f"no {command[0]}"
    except subprocess.TimeoutExpired:
        return f"{command[0]} does not come to an end"
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"{command[0]} failed without a word"])[-1]


def _namespace_mend(host: Host) -> str:
    """The setting that stands in the way of user namespaces, as a command that changes it for good."""
    if shutil.which("unshare") is None:
        return install_command(["util-linux"], host.etc)
    wrong = []
    if host.number("user/max_user_namespaces") == 0:
        wrong.append("user.max_user_namespaces=65536")
    if os.getuid() and host.number("kernel/unprivileged_userns_clone") == 0:
        wrong.append("kernel.unprivileged_userns_clone=1")
    if os.getuid() and host.number("kernel/apparmor_restrict_unprivileged_userns") == 1:
        wrong.append("kernel.apparmor_restrict_unprivileged_userns=0")
    if not wrong:
        return "run this on the machine itself, not inside a container; or use a kernel with CONFIG_USER_NS"
    file = "/etc/sysctl.d/60-mere.conf"
    lines = " ".join(wrong)
    return f"printf '%s\\n' {lines} | {privilege()}tee {file} && {privilege()}sysctl -p {file}"
