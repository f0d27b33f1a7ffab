"""Hostile servers on the loopback: a function is given each connection and sends what it likes, as it likes."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path


class Line:
    """One connection, seen from the server.

    Attributes
    ----------
    path : str
        What was asked for; empty if nobody has read the request.
    """

    def __init__(self, connection: socket.socket, url: str) -> None:
        self.connection = connection
        self.url = url
        self.path = ""
        self._over = threading.Event()

    def read_request(self) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.connection.recv(65536)
            if not more:
                break
            data += more
        words = data.split(b" ", 2)
        self.path = words[1].decode() if len(words) == 3 else ""

    def send(self, data: bytes | str) -> None:
        self.connection.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def reply(self, body: bytes = b"", *, status: str = "200 OK", length: int | str | None = None, **more: str) -> None:
        """A proper answer, but for what is said otherwise; a length of "" is none."""
        headers = {"Content-Length": str(len(body) if length is None else length), "Connection": "close"}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value != "")
        self.send(f"HTTP/1.1 {status}\r\n{lines}\r\n")
        self.send(body)

    def for_ever(self, *data: bytes, pause: float = 0.0) -> None:
        """Send until the other side has had enough."""
        while True:
            for piece in data:
                self.send(piece)
                time.sleep(pause)

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()


Behaviour = Callable[[Line], None]


class Server:
    """Listens on a port of its own and lets `behave` have each connection, in a thread.

    Parameters
    ----------
    behave : callable
        An error of the connection ends it.
    tls : ssl.SSLContext, optional
        Speak TLS.
    read : bool, optional
        Whether the request is read first.
    """

    def __init__(self, behave: Behaviour, tls: ssl.SSLContext | None = None, *, read: bool = True) -> None:
        self._behave = behave
        self._tls = tls
        self._read = read
        self._open: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        port = self._socket.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        for open_one in [self._socket, *self._open]:
            with suppress(OSError):
                open_one.shutdown(socket.SHUT_RDWR)
            open_one.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._open.append(connection)
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, ValueError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            line = Line(connection, self.url)
            if self._read:
                line.read_request()
            with connection:
                self._behave(line)


def own_certificate(folder: Path) -> ssl.SSLContext:
    """TLS with a certificate that nobody else has signed."""
    command = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=127.0.0.1"]
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class Memory:
    """The most memory that this process has had since the start of the block, in bytes above what it had then."""

    peak = 0

    def __enter__(self) -> Memory:
        Path("/proc/self/clear_refs").write_text("5")
        self._before = _status("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        self.peak = _status("VmHWM") - self._before


def size_of(folders: Iterable[Path]) -> int:
    """Bytes of all files in some folders."""
    return sum(path.lstat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)
