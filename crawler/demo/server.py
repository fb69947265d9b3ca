"""Serves a `Demo` over HTTP/1.1 on loopback: a small protocol of its own.

Not aiohttp.web, for two reasons. On a machine that crawler and demo share, every microsecond the server takes is taken
from the crawl, and this costs less than half. And half the point of the demo is to send what no proper server sends:
half a body, a reset, a body in drips. Only GET and HEAD are answered.

A vanished client ends its request at once: the timers of a connection die with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, cast

from crawler.demo.answer import Answer
from crawler.demo.log import AccessLog, Entry
from crawler.demo.site import Demo

MAX_HEAD_BYTES = 64 * 1024
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close() sends RST
_RESET_AFTER_SECONDS = 0.02  # abort() throws away what is not written yet
_PORT_TRIES = 20


class _Head(NamedTuple):
    method: str
    target: str
    host: str
    user_agent: str
    accept: str
    keep_alive: bool


class DemoServer:
    """Serves a demo site while its context is open: `async with DemoServer(Demo(pages=100)) as server: ...`.

    `port=0` picks a free one; `server.demo` is the site at the real port, `server.url` its first page. Entries of the
    access log are in `server.log.entries` (unless `keep_log` is off) and in `log_file`, if one is given.
    """

    def __init__(
        self, demo: Demo | None = None, *, port: int = 0, log_file: Path | None = None, keep_log: bool = True
    ) -> None:
        self.demo = replace(demo or Demo(), port=port)
        self.log = AccessLog(log_file, keep=keep_log)
        self.connections: set[_Connection] = set()
        self.numbers = count(1)
        self._servers: list[asyncio.Server] = []
        self._asked: Counter[tuple[str, str]] = Counter()

    @property
    def url(self) -> str:
        """The first page of the first host."""
        return self.demo.start_url

    @property
    def port(self) -> int:
        """The port all hosts listen on."""
        return self.demo.port

    def answer(self, host: str, target: str, accept: str) -> Answer:
        """Return the answer of the site, and count the request where that makes a difference."""
        if not self.demo.is_counted(host, target):
            return self.demo.answer(host, target, accept=accept)
        earlier = self._asked[host, target]
        self._asked[host, target] += 1
        return self.demo.answer(host, target, accept=accept, earlier=earlier)

    async def __aenter__(self) -> DemoServer:
        addresses = [name if name.startswith("127.") else "127.0.0.1" for name in self.demo.hosts_served]
        sockets = listen(sorted(set(addresses)), self.demo.port)
        self.demo = replace(self.demo, port=sockets[0].getsockname()[1])
        loop = asyncio.get_running_loop()
        for sock in sockets:
            self._servers.append(await loop.create_server(lambda: _Connection(self), sock=sock))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.abort()
        await asyncio.sleep(0)  # lets connection_lost run, which writes the last entries
        for server in self._servers:
            await server.wait_closed()
        self.log.close()


def listen(addresses: list[str], port: int) -> list[socket.socket]:
    """Return listening sockets at the same port of all addresses; `port=0` picks one that is free at all of them.

    Raises OSError, naming address and port, when one is taken.
    """
    for attempt in range(_PORT_TRIES):
        with contextlib.ExitStack() as stack:
            chosen, sockets = port, []
            try:
                for address in addresses:
                    sockets.append(stack.enter_context(_listener(address, chosen)))
                    chosen = sockets[0].getsockname()[1]
            except OSError:
                if port or attempt == _PORT_TRIES - 1:
                    raise
                continue
            stack.pop_all()
            return sockets
    raise AssertionError("unreachable")


def _listener(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(1024)
        sock.setblocking(False)
    except OSError as exc:
        sock.close()
        raise OSError(exc.errno, f"cannot listen on {address}:{port}: {exc.strerror}") from exc
    return sock


class _Connection(asyncio.Protocol):
    """One client connection: requests are answered one after the other, in order."""

    def __init__(self, server: DemoServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._number = next(server.numbers)
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._local = ""
        self._timer: asyncio.TimerHandle | None = None
        self._head: _Head | None = None
        self._start = self._wall = 0.0
        self._status = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        self._local = transport.get_extra_info("sockname")[0]
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._finish(complete=False)
        self._transport = None

    def abort(self) -> None:
        """Drop the connection with whatever it is doing."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._head is None:
            self._next_request()

    def _next_request(self) -> None:
        """Start to answer the first whole request in the buffer, if there is one."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                self._send(Answer(431, (), b""), keep_alive=False)
            return
        head = _parse(self._buffer[:end].decode("latin-1"), self._local)
        del self._buffer[: end + 4]
        if head is None:
            self._send(Answer(400, (), b""), keep_alive=False)
            return
        self._head, self._start, self._wall, self._status = head, time.monotonic(), time.time(), 0
        answer = self._answer(head)
        if answer.delay_seconds > 0:
            self._timer = self._loop.call_later(answer.delay_seconds, self._send, answer, head.keep_alive)
        else:
            self._send(answer, head.keep_alive)

    def _answer(self, head: _Head) -> Answer:
        if head.method not in ("GET", "HEAD"):
            return Answer(405, (("Allow", "GET, HEAD"),), b"")
        return self._server.answer(head.host, head.target, head.accept)

    def _send(self, answer: Answer, keep_alive: bool) -> None:
        transport = self._transport
        assert transport is not None
        self._timer = None
        keep_alive = keep_alive and answer.cut_after is None and not answer.reset
        if answer.reset and answer.cut_after is None:
            self._end(complete=False, keep_alive=False, reset=True)
            return
        self._status = answer.status
        body = b"" if self._head is not None and self._head.method == "HEAD" else answer.body
        chunked = answer.chunked and bool(body)
        head = _response_head(answer, len(answer.body), chunked=chunked, keep_alive=keep_alive)
        whole = answer.cut_after is None
        if answer.drip is None:
            transport.write(
                head + (_chunks(body[: answer.cut_after], end=whole) if chunked else body[: answer.cut_after])
            )
            self._end(complete=whole, keep_alive=keep_alive, reset=answer.reset)
        else:
            transport.write(head)
            size = answer.drip.piece_bytes
            pieces = (body[at : at + size] for at in range(0, len(body), size))
            self._drip(pieces, answer.drip.interval_seconds, keep_alive)

    def _drip(self, pieces: Iterator[bytes], interval: float, keep_alive: bool) -> None:
        assert self._transport is not None
        piece = next(pieces, None)
        if piece is None:
            self._timer = None
            self._end(complete=True, keep_alive=keep_alive, reset=False)
            return
        self._transport.write(piece)
        self._timer = self._loop.call_later(interval, self._drip, pieces, interval, keep_alive)

    def _end(self, *, complete: bool, keep_alive: bool, reset: bool) -> None:
        assert self._transport is not None
        self._finish(complete=complete)
        if reset:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._timer = self._loop.call_later(_RESET_AFTER_SECONDS, self.abort)
        elif not keep_alive:
            self._transport.close()
        elif self._buffer:
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        if self._head is None and self._transport is not None and not self._transport.is_closing():
            self._next_request()

    def _finish(self, *, complete: bool) -> None:
        """Log the request at work, if there is one."""
        head, self._head = self._head, None
        if head is not None:
            self._server.log.add(
                Entry(
                    self._start, time.monotonic(), self._wall, head.host, head.target, self._status, head.user_agent,
                    self._number, complete,
                )
            )  # fmt: skip


def _parse(text: str, local: str) -> _Head | None:
    """Read a request head; None when it is none. A Host that is no name of ours is taken for the local address."""
    first, _, rest = text.partition("\r\n")
    line = first.split(" ")
    if len(line) != 3 or not line[2].startswith("HTTP/1."):
        return None
    method, target, version = line
    if target.startswith("http://"):  # absolute form, as to a proxy (RFC 9112 3.2.2)
        target = "/" + target[7:].partition("/")[2]
    fields = {}
    for field in rest.split("\r\n"):
        name, _, value = field.partition(":")
        fields[name.lower()] = value.strip()
    host = fields.get("host", local).partition(":")[0].lower()
    connection = fields.get("connection", "").lower()
    has_body = fields.get("content-length", "0") != "0" or "transfer-encoding" in fields
    keep_alive = connection != "close" and (version != "HTTP/1.0" or connection == "keep-alive") and not has_body
    return _Head(
        method, target, local if host == "localhost" else host, fields.get("user-agent", ""),
        fields.get("accept-encoding", ""), keep_alive,
    )  # fmt: skip


def _response_head(answer: Answer, length: int, *, chunked: bool, keep_alive: bool) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    elif answer.status not in (204, 304):
        lines.append(f"Content-Length: {length}")
    if not keep_alive:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _chunks(body: bytes, *, end: bool) -> bytes:
    """Frame a body as chunks of 1,000 bytes (RFC 9112 7.1); without `end`, the last chunk is missing."""
    parts = []
    for at in range(0, len(body), 1000):
        piece = body[at : at + 1000]
        parts.append(b"%x\r\n%b\r\n" % (len(piece), piece))
    return b"".join(parts) + (b"0\r\n\r\n" if end else b"")
