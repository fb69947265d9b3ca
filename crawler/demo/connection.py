"""One client connection of the demo server.

The life of a request: its head is complete (`start` of the log entry), its answer is made up, the delay of the answer
passes, the bytes go out (whole, in drips, or only in part), it is logged. A vanished client ends its request at once:
the timers of a connection die with it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Iterator
from typing import Protocol, cast

from crawler.demo.answer import Answer
from crawler.demo.log import AccessLog, Entry
from crawler.demo.ranges import part_of
from crawler.demo.wire import Head, chunks, parse_head, response_head

MAX_HEAD_BYTES = 64 * 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close() sends RST
_RESET_AFTER_SECONDS = 0.02  # abort() throws away what is not written yet


class Site(Protocol):
    """What a connection needs of its server."""

    log: AccessLog
    connections: set[Connection]
    numbers: Iterator[int]

    def answer(self, host: str, target: str, accept: str) -> Answer:
        """Return the answer to one request."""


class Connection(asyncio.Protocol):
    """One client connection: requests are answered one after the other, in order."""

    def __init__(self, server: Site) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._number = next(server.numbers)
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._local = ""
        self._timer: asyncio.TimerHandle | None = None
        self._head: Head | None = None
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
        head = parse_head(self._buffer[:end].decode("latin-1"), self._local)
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

    def _answer(self, head: Head) -> Answer:
        if head.method not in ("GET", "HEAD"):
            return Answer(405, (("Allow", "GET, HEAD"),), b"")
        answer = self._server.answer(head.host, head.target, head.accept)
        return part_of(answer, head.range, head.if_range) if head.range else answer

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
        head = response_head(answer, len(answer.body), chunked=chunked, keep_alive=keep_alive)
        whole = answer.cut_after is None
        if answer.drip is None:
            transport.write(
                head + (chunks(body[: answer.cut_after], end=whole) if chunked else body[: answer.cut_after])
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
