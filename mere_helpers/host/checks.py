"""The single checks of a host: small functions, each of which says what is wrong and which command fixes it."""

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..config import Config, clean_environment
from ..errors import ContainerError
from ..sandbox.idmap import id_range
from .requirements import install_command, privilege, requirements

PYTHON = (3, 11)

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


class Problem(NamedTuple):
    """What a check found wrong, and the commands that fix it, one a line."""

    what: str
    fix: str


@dataclass(frozen=True)
class Host:
    """The host as the checks see it; tests put something else here."""

    config: Config
    etc: Path = Path("/etc")
    proc: Path = Path("/proc")
    path: str = clean_environment()["PATH"]
    uid: int = field(default_factory=os.getuid)
    machine: str = field(default_factory=platform.machine)
    release: str = field(default_factory=platform.release)
    disk_usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage

    def which(self, program: str) -> str | None:
        """Where builds find a program."""
        return shutil.which(program, path=self.path)

    def failure(self, command: Sequence[str], cwd: Path = Path("/")) -> str | None:
        """Run a command as builds do; ``None`` if all is well, or the last line of what it said."""
        environment = clean_environment(PATH=self.path)
        try:
            done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60)
        except FileNotFoundError:
            return f"no {command[0]}"
        except subprocess.TimeoutExpired:
            return f"{command[0]} does not come to an end"
        if done.returncode == 0:
            return None
        return (done.stderr.strip().splitlines() or [f"{command[0]} failed without a word"])[-1]

    def setting(self, name: str) -> str | None:
        """A kernel setting such as ``user/max_user_namespaces``, or ``None`` where the kernel does not know it."""
        try:
            return (self.proc / "sys" / name).read_text().strip()
        except OSError:
            return None

    def near_store(self) -> Path:
        """The store, or the deepest directory above it that exists."""
        return next(path for path in (self.config.store, *self.config.store.parents) if path.is_dir())


def machine(host: Host) -> Problem | None:
    """Only one architecture is described."""
    return None if host.machine == "x86_64" else Problem(f"this is {host.machine}", "use a 64-bit PC")


def kernel(host: Host) -> Problem | None:
    """overlayfs without root came with Linux 5.11."""
    if tuple(int(part) for part in re.findall(r"\d+", host.release)[:2]) >= (5, 11):
        return None
    return Problem(f"this is {host.release}", "upgrade the kernel, then start the machine again")


def namespaces(host: Host, *options: str) -> Problem | None:
    """A process may enter a world of its own: as its root, or without a network."""
    said = host.failure(["unshare", "--user", *options, "true"])
    return Problem(said, _namespace_fix(host)) if said else None


def overlay(host: Host) -> Problem | None:
    """An overlay may be mounted without root, on the store's own file system."""
    script = (
        "mkdir lower upper work merged && mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged"
        " && echo ok > merged/file && test -s upper/file"
    )
    try:
        with tempfile.TemporaryDirectory(dir=host.near_store(), prefix=".check") as folder:
            said = host.failure(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script], Path(folder))
    except OSError as error:
        return Problem(f"cannot write to {host.near_store()}: {error.strerror}", "export MERE_STORE=/a/folder/of/yours")
    if not said:
        return None
    if problem := namespaces(host, "--map-root-user"):
        return Problem(said, problem.fix)
    return Problem(said, f"{privilege()}modprobe overlay\nexport MERE_STORE=/a/folder/on/ext4/xfs/or/btrfs")


def id_ranges(host: Host) -> Problem | None:
    """This user may hand ids to containers."""
    try:
        id_range(host.config, folder=host.etc)
    except ContainerError as error:
        return Problem(error.message.splitlines()[0], error.hint)
    return None


def id_mappers(host: Host) -> Problem | None:
    """newuidmap and newgidmap write the maps with privileges of their own: a set-uid bit or a file capability."""
    for program in ("newuidmap", "newgidmap"):
        path = host.which(program)
        if path is None:
            return Problem(f"no {program}", install_command([f"has {program}"], host.etc))
        if host.uid and not os.stat(path).st_mode & stat.S_ISUID and "security.capability" not in os.listxattr(path):
            return Problem(f"{program} has lost its set-uid bit", f"{privilege()}chmod u+s {path}")
    return None


def lxc(host: Host) -> Problem | None:
    """LXC's command line tools."""
    fix = install_command(["has lxc-execute"], host.etc)
    program = host.which("lxc-execute")
    if program is None:
        return Problem("no lxc-execute", fix)
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip()
    major = version.partition(".")[0]
    if major.isdigit() and int(major) >= 5:
        return None
    return Problem(f"this is {version or 'of no known version'}", f"upgrade the distribution, or: {fix}")


def container_init(host: Host) -> Problem | None:
    """The static first process, which LXC brings into a root that has no programs yet."""
    if any(os.access(f"{folder}/init.lxc.static", os.X_OK) for folder in _INIT_FOLDERS):
        return None
    return Problem("no init.lxc.static", install_command(["has lxc-execute"], host.etc))


def programs(host: Host) -> Problem | None:
    """Every program is there, and setpriv can end what it starts when we die, which busybox's cannot."""
    absent = [probe for probe in requirements() if probe.startswith("has ") and not host.which(probe.split()[1])]
    if absent:
        names = ", ".join(probe.split()[1] for probe in absent)
        return Problem(f"no {names}", install_command(absent, host.etc))
    said = host.failure(["setpriv", "--pdeathsig", "KILL", "true"])
    return Problem(said, install_command(["has setpriv"], host.etc)) if said else None


def static_program(host: Host, compiler: str, file: str, text: str) -> Problem | None:
    """The compiler links a static program."""
    probes = [probe for probe in requirements() if probe.startswith(f"has_static {compiler} ")]
    fix = install_command(["has_static gcc libc.a", f"has {compiler}", *probes], host.etc)
    if host.which(compiler) is None:
        return Problem(f"no {compiler}", fix)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / file).write_text(text)
        said = host.failure([compiler, "-static", "-o", "try", file], Path(folder))
    return Problem(f"{compiler} cannot link a static program: {said}", fix) if said else None


def python(host: Host) -> Problem | None:
    """The Python that runs this."""
    if sys.version_info >= PYTHON:
        return None
    return Problem(f"this is {platform.python_version()}", install_command(["find_python"], host.etc))


def disk(host: Host) -> Problem | None:
    """Room at the store."""
    need, folder = DISK_LATER if (host.config.store / "entries").is_dir() else DISK_FIRST, host.near_store()
    free = host.disk_usage(folder)[2] / (1 << 30)
    if free >= need:
        return None
    return Problem(f"{free:.1f} of {need} GiB free at {folder}", "export MERE_STORE=/a/folder/on/a/larger/disk")


def memory(host: Host) -> Problem | None:
    """Memory in all."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", (host.proc / "meminfo").read_text(), re.MULTILINE)
    gib = int(found[1]) / (1 << 20) if found else 0.0
    return None if gib >= MEMORY else Problem(f"{gib:.1f} GiB", "use a machine with more memory")


CHECKS: dict[str, Callable[[Host], Problem | None]] = {
    "an x86_64 machine": machine,
    "Linux 5.11 or later": kernel,
    "programs that steps run": programs,
    "gcc with a static C library": lambda host: static_program(host, "gcc", "try.c", _C_PROGRAM),
    "g++ with a static C++ library": lambda host: static_program(host, "g++", "try.cc", _CXX_PROGRAM),
    "Python 3.11 or later": python,
    "user namespaces": lambda host: namespaces(host, "--map-root-user"),
    "builds without a network": lambda host: namespaces(host, "--map-current-user", "--net"),
    "overlays without root": overlay,
    "65,536 ids for containers": id_ranges,
    "newuidmap and newgidmap": id_mappers,
    "LXC 5.0 or later": lxc,
    "LXC's static init": container_init,
    "15 GiB of disk": disk,
    "4 GiB of memory": memory,
}


def _namespace_fix(host: Host) -> str:
    """The setting that stands in the way of user namespaces, as a command that changes it for good."""
    if host.which("unshare") is None:
        return install_command(["has unshare"], host.etc)
    wrong = []
    if host.setting("user/max_user_namespaces") == "0":
        wrong.append("user.max_user_namespaces=65536")
    if host.uid and host.setting("kernel/unprivileged_userns_clone") == "0":
        wrong.append("kernel.unprivileged_userns_clone=1")
    if host.uid and host.setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        wrong.append("kernel.apparmor_restrict_unprivileged_userns=0")
    if not wrong:
        return "run this on the machine itself, not inside a container; or use a kernel with CONFIG_USER_NS"
    file = "/etc/sysctl.d/60-mere.conf"
    return f"printf '%s\\n' {' '.join(wrong)} | {privilege()}tee {file} && {privilege()}sysctl -p {file}"
