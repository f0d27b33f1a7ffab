"""The host as an attack would find it: secrets, listeners, a process, and what of all that was reached."""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import pty
import secrets
import select
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from mere_helpers.config import Config
from mere_helpers.store.store import Store

from .verdict import reached, running

MARK = "mere-mark"

_IPC_CREAT, _IPC_RMID, _SETVAL = 0o1000, 0, 16


@dataclass
class Outside:
    """Canaries of a test run, each of them made for it; no real file of the host is ever aimed at.

    Attributes
    ----------
    places : dict of str to str
        What the probes may know, as variables of a shell.
    """

    config: Config
    probe: Path
    places: dict[str, str] = field(default_factory=dict)
    _watched: list[Path] = field(default_factory=list)
    _knocks: list[str] = field(default_factory=list)
    _files: dict[Path, tuple[int, bytes]] = field(default_factory=dict)

    @contextmanager
    def __call__(self) -> Iterator[Outside]:
        """All of it, as long as the block lasts."""
        self._hex = secrets.token_hex(6)
        with ExitStack() as self._ends:
            self._make_files()
            self._make_listeners()
            self._make_terminal()
            self._make_memory()
            self._make_victim()
            self.places |= {"uid": str(os.getuid()), "mark": MARK}
            self._files = dict(self._look())
            # A run that was killed may have left something.
            self.effects("")
            yield self

    def secret(self, kind: str) -> str:
        """A word that is nowhere but where it was put."""
        return f"mere-secret-{kind}-{self._hex}"

    def effects(self, said: str) -> list[str]:
        """What was reached since the last call, by what is seen here and by what the probe has printed.

        All is put back, so that the next probe finds it as this one did.
        """
        found = reached(said)
        found += [f"contacted {name}" for name in dict.fromkeys(self._knocks)]
        self._knocks.clear()
        found += self._changed() + self._marks() + self._typed()
        if self._victim.poll() is not None:
            found.append(f"ended a process of the host (status {self._victim.returncode})")
            self._make_victim()
        for pid in running(b"stay"):
            found.append("left a process behind")
            os.kill(pid, 9)
        if self._missed:
            found.append("held a lock of the host")
            self._missed = False
        return found

    # Files

    def _folder(self, above: Path, mode: int) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="mere-attacks-", dir=above))
        folder.chmod(mode)
        self._ends.callback(shutil.rmtree, folder, ignore_errors=True)
        self._watched.append(folder)
        return folder

    def _make_files(self) -> None:
        home = self._folder(Path.home(), 0o700)
        runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or "/run")
        run = self._folder(runtime if os.access(runtime, os.W_OK) else Path("/var/tmp"), 0o755)
        tmp, var_tmp = self._folder(Path("/tmp"), 0o777), self._folder(Path("/var/tmp"), 0o777)
        store, checkout = self.config.store, self.config.checkout
        self.places |= {"home": str(home), "run": str(run), "tmp": str(tmp), "vartmp": str(var_tmp)}
        self.places |= {"store": str(store), "checkout": str(checkout)}
        texts = {
            home / ".ssh/id": "ssh", home / ".bashrc": "bashrc", home / ".config/systemd/user/unit": "unit",
            home / "lock": "lock", tmp / "file": "tmp", var_tmp / "file": "vartmp", store / "key/secret": "key",
            store / "substitutes.key": "substitutes", store / "work/steps/other/src/file": "work",
            checkout / "recipes/canary": "checkout", store / f"entries/{'e' * 64}/out/file": "entry",
        }  # fmt: skip
        for path, kind in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{self.secret(kind)}\n")
        for path in (tmp / "file", var_tmp / "file"):
            path.chmod(0o666)
        (home / ".ssh/id").chmod(0o600)
        self.places["entry"] = str(store / f"entries/{'e' * 64}/out/file")
        self._watched += [
            store / "key",
            store / "substitutes.key",
            store / "work/steps/other",
            checkout / "recipes/canary",
        ]
        # Another run is at work there.
        self._ends.enter_context(Store(self.config).lock("other"))
        self._watched += [store / f"entries/{'e' * 64}"]

    def watch(self, *paths: Path) -> None:
        """Count changes of these files and folders, too."""
        self._watched += paths
        self._files = dict(self._look())

    def _look(self) -> Iterator[tuple[Path, tuple[int, bytes]]]:
        for top in self._watched:
            for path in [top, *sorted(top.rglob("*"))] if top.is_dir() else [top]:
                with suppress(OSError):
                    mode = path.lstat().st_mode
                    yield path, (mode, path.read_bytes() if stat.S_ISREG(mode) else b"")

    def _changed(self) -> list[str]:
        now = dict(self._look())
        changed = [path for path in sorted({*now, *self._files}) if now.get(path) != self._files.get(path)]
        for path in changed:
            mode, text = self._files.get(path, (0, b""))
            if not stat.S_ISSOCK(mode) and not (stat.S_ISDIR(mode) and path.is_dir()):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
            # Above before below, as they are sorted.
            if stat.S_ISDIR(mode):
                path.mkdir(parents=True, exist_ok=True)
            elif stat.S_ISREG(mode):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text)
            if mode:
                path.chmod(stat.S_IMODE(mode))
        return [f"changed {path}" for path in changed]

    def _marks(self) -> list[str]:
        found = []
        for above in ("/tmp", "/var/tmp", "/dev/shm", "/run", "/dev/mqueue"):
            for path in Path(above).glob(f"{MARK}*"):
                found.append(f"made {path}")
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        return found

    # Listeners

    def _make_listeners(self) -> None:
        places = self.places
        listening = {
            "TCP": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "TCP over IPv6": (socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
            "UDP": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "an abstract socket": (socket.AF_UNIX, socket.SOCK_STREAM, f"\0{MARK}-{self._hex}"),
            "a socket in /tmp (tmux, X11)": (socket.AF_UNIX, socket.SOCK_STREAM, f"{places['tmp']}/tmux"),
            "a socket in /var/tmp": (socket.AF_UNIX, socket.SOCK_STREAM, f"{places['vartmp']}/bus"),
            "a socket in /run (D-Bus)": (socket.AF_UNIX, socket.SOCK_STREAM, f"{places['run']}/bus"),
            "a socket of a group (docker)": (socket.AF_UNIX, socket.SOCK_STREAM, f"{places['run']}/docker.sock"),
            "the ssh agent": (socket.AF_UNIX, socket.SOCK_STREAM, f"{places['home']}/agent"),
        }
        self._listeners = {}
        for name, (family, kind, address) in listening.items():
            try:
                listener = socket.socket(family, kind)
                listener.bind(address)
            except OSError:
                continue
            self._ends.callback(listener.close)
            if kind == socket.SOCK_STREAM:
                listener.listen()
            if isinstance(address, str) and address[0] == "/":
                os.chmod(address, 0o660 if "docker" in address else 0o700 if "agent" in address else 0o777)
            self._listeners[listener] = name
        ports = {name: listener.getsockname()[1] for listener, name in self._listeners.items() if "P" in name[:4]}
        places |= {"tcp": str(ports["TCP"]), "udp": str(ports["UDP"]), "tcp6": str(ports.get("TCP over IPv6", 1))}
        places |= {"abstract": f"@{MARK}-{self._hex}", "agent": f"{places['home']}/agent"}
        self._missed, self._done = False, threading.Event()
        thread = threading.Thread(target=self._listen, daemon=True)
        thread.start()
        self._ends.callback(thread.join)
        self._ends.callback(self._done.set)

    def _listen(self) -> None:
        while not self._done.is_set():
            for listener in select.select([*self._listeners], [], [], 0.05)[0]:
                self._knocks.append(self._listeners[listener])
                with suppress(OSError):
                    if listener.type == socket.SOCK_DGRAM:
                        _, sender = listener.recvfrom(4096)
                        listener.sendto(self.secret("listener").encode(), sender)
                        continue
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(0.3)
                        connection.recv(4096)
                        connection.sendall(self.secret("listener").encode())
            # Something happens to the file that a probe may watch, and the lock that it may hold is wanted.
            with suppress(FileNotFoundError), open(f"{self.places['home']}/lock", "rb") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    self._missed = True

    # Terminals, memory, processes

    def _make_terminal(self) -> None:
        self._master, self._slave = pty.openpty()
        self._ends.callback(os.close, self._master)
        self._ends.callback(os.close, self._slave)
        os.set_blocking(self._master, False)
        os.set_blocking(self._slave, False)
        os.chmod(os.ttyname(self._slave), 0o666)
        self.places["terminal"] = os.ttyname(self._slave)
        self._type()

    def _type(self) -> None:
        os.write(self._master, f"{self.secret('terminal')}\n".encode())
        with suppress(BlockingIOError):
            os.read(self._master, 65536)

    def _typed(self) -> list[str]:
        found = []
        for end, what in ((self._master, "wrote to"), (self._slave, "typed into")):
            with suppress(BlockingIOError):
                if MARK.encode() in os.read(end, 65536):
                    found.append(f"{what} a terminal of the user")
        self._type()
        return found

    def _make_memory(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.shmat.restype = ctypes.c_void_p
        key = int(self._hex[:6], 16) | 0x40000000
        self.places["ipc"] = str(key)
        segment = libc.shmget(key, 4096, _IPC_CREAT | 0o666)
        text = self.secret("shm").encode() + b"\0"
        ctypes.memmove(libc.shmat(segment, None, 0), text, len(text))
        self._ends.callback(libc.shmctl, segment, _IPC_RMID, None)
        queue = libc.msgget(key, _IPC_CREAT | 0o666)
        message = array.array("l", [1]).tobytes() + self.secret("messages").encode() + b"\0"
        libc.msgsnd(queue, message, len(message) - 8, 0)
        self._ends.callback(libc.msgctl, queue, _IPC_RMID, None)
        semaphore = libc.semget(key, 1, _IPC_CREAT | 0o666)
        libc.semctl(semaphore, 0, _SETVAL, 7)
        self._ends.callback(libc.semctl, semaphore, 0, _IPC_RMID)
        name = f"/mere-attacks-{self._hex}"
        self.places["queue"] = name
        descriptor = libc.mq_open(name.encode(), os.O_CREAT | os.O_RDWR, 0o666, None)
        libc.mq_send(descriptor, self.secret("queue").encode(), len(self.secret("queue")), 0)
        self._ends.callback(libc.mq_unlink, name.encode())
        self._ends.callback(os.close, descriptor)
        # For those who possess it alone, as a Kerberos ticket.
        for ring, kind in ((-3, "session"), (-4, "user")):
            payload = self.secret(f"{kind}_ring").encode()
            added = libc.syscall(248, b"user", f"{MARK}-{self._hex}".encode(), payload, len(payload), ring)
            if added > 0:
                self._ends.callback(libc.syscall, 250, 9, added, ring, 0, 0)
        self.places["key"] = f"{MARK}-{self._hex}"
        leak, inlet = os.pipe()
        os.write(inlet, self.secret("descriptor").encode())
        for end in (leak, inlet):
            os.set_inheritable(end, True)
            self._ends.callback(os.close, end)

    def _make_victim(self) -> None:
        environment = {"SECRET": self.secret("environment")}
        command = [self.probe, "victim", self._hex, f"{self.places['home']}/.ssh/id", self.secret("arguments")]
        self._victim = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=self.places["home"])
        assert self._victim.stdout is not None
        self.places |= {"pid": str(self._victim.pid), "address": self._victim.stdout.readline().decode().strip()}
        self._ends.callback(self._end, self._victim)

    @staticmethod
    def _end(victim: subprocess.Popen) -> None:
        victim.kill()
        victim.wait()
        if victim.stdout:
            victim.stdout.close()
