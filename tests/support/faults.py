"""A loopback server on raw sockets that says exactly the bytes it is told, and misbehaves on demand.

    with FaultServer({"/cut": [head(length=1000), b"short", CLOSE]}) as server:
        ... server.url("/cut") ...; server.seen

A script is what the server does after one request for a path: bytes are sent, steps (`Wait`, `Repeat`, `CLOSE`,
`RESET`, `HANG`) are done. At its end the connection waits for the next request. Scripts under `Turns` answer the first
request, the second, and so on; the last one stays. Threads and blocking sockets, so it works beside any event loop or
none, and a flood is slowed down by its reader. Everything ends with the `with` block.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from types import TracebackType
from typing import Self


class End(Enum):
    """Ways to end a connection."""

    CLOSE = auto()
    """In order: what was sent arrives, then the end of the stream."""
    RESET = auto()
    """With RST."""
    HANG = auto()
    """Not at all: silence until the server stops."""


CLOSE, RESET, HANG = End.CLOSE, End.RESET, End.HANG


@dataclass(frozen=True)
class Wait:
    """Do nothing for a while."""

    seconds: float


@dataclass(frozen=True)
class Repeat:
    """Send the same bytes again and again: `times`, or until the other side is gone."""

    data: bytes
    times: int | None = None
    every: float = 0.0
    """Seconds before each."""


Step = bytes | Wait | Repeat | End
Script = Sequence[Step]


@dataclass
class Turns:
    """A script for the first request, another for the second, …; the last one for all that follow."""

    scripts: Sequence[Script]
    served: int = 0

    def next(self) -> Script:
        """Return the script for the next request."""
        script = self.scripts[min(self.served, len(self.scripts) - 1)]
        self.served += 1
        return script


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    connection: int
    """Counts from 1."""
    target: str
    """Second word of the request line."""
    raw: bytes = field(repr=False)
    """Request line and header lines."""

    def header(self, name: str) -> str | None:
        """Return the value of the first header line with this name."""
        for line in self.raw.split(b"\r\n")[1:]:
            found, _, value = line.partition(b":")
            if found.lower() == name.lower().encode():
                return value.strip().decode("latin-1")
        return None


def head(status: str = "200 OK", *lines: str, length: int | None = None) -> bytes:
    """Return the head of a response."""
    declared = [] if length is None else [f"Content-Length: {length}"]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, *declared, "", ""]).encode("latin-1")


def page(body: bytes = b"<p>here", status: str = "200 OK", *lines: str) -> bytes:
    """Return a whole and proper response."""
    return head(status, *lines, length=len(body)) + body


def chunked(*chunks: bytes, last: bool = True) -> bytes:
    """Return a body in chunks, with the last chunk or without."""
    coded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return coded + (b"0\r\n\r\n" if last else b"")


class FaultServer:
    """See the module. `greet` is run when a connection is accepted, before any request is read."""

    def __init__(
        self,
        scripts: Mapping[str, Script | Turns],
        *,
        greet: Script = (),
        tls: ssl.SSLContext | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        self._scripts = scripts
        self._greet = greet
        self._tls = tls
        self._listener = socket.create_server((address, 0), backlog=128)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]
        self.address = address
        self.connections = 0
        self.seen: list[Seen] = []

    def url(self, path: str = "/", host: str | None = None) -> str:
        """Return the URL of a path on this server."""
        return f"{'https' if self._tls else 'http'}://{host or self.address}:{self.port}{path}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]  # any of ours
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._start(self._serve, connection, self.connections)

    def _serve(self, connection: socket.socket, number: int) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(connection)
            if self._stopping.is_set():  # accepted too late for __exit__ to see it
                connection.close()
        try:
            if self._tls is not None:
                raw, connection = connection, self._tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._open.discard(raw)
                    self._open.add(connection)
            if self._perform(connection, self._greet):
                self._converse(connection, number)
        except OSError:
            pass  # the other side is gone, or the server stops
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _converse(self, connection: socket.socket, number: int) -> None:
        buffered = b""
        while True:
            while b"\r\n\r\n" not in buffered:
                received = connection.recv(65536)
                if not received:
                    return
                buffered += received
            raw, _, buffered = buffered.partition(b"\r\n\r\n")
            target = raw.split(b" ", 2)[1].decode("latin-1")
            self.seen.append(Seen(number, target, raw))
            script = self._scripts.get(target, [page(b"", "404 Not Found")])
            if not self._perform(connection, script.next() if isinstance(script, Turns) else script):
                return

    def _perform(self, connection: socket.socket, script: Script) -> bool:
        """Do the steps; return False when the connection is over."""
        for step in script:
            match step:
                case bytes():
                    connection.sendall(step)
                case Wait(seconds):
                    if self._stopping.wait(seconds):
                        return False
                case Repeat():
                    self._repeat(connection, step)
                case End.CLOSE:
                    connection.shutdown(socket.SHUT_WR)
                    return False
                case End.RESET:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return False
                case End.HANG:
                    self._stopping.wait()
                    return False
        return True

    def _repeat(self, connection: socket.socket, step: Repeat) -> None:
        sent = 0
        while step.times is None or sent < step.times:
            if step.every and self._stopping.wait(step.every):
                return
            connection.sendall(step.data)
            sent += 1
