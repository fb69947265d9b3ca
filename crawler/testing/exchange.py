"""The server's half of one connection: puts a reply on the wire as it is told, truth or lie, fast or slow."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import assert_never

from crawler.testing.messages import End, Exchange, Framing, Reply
from crawler.testing.wire import chunk, last_chunk, reply_head

_WRITE_BYTES = 256 * 1024
_PACE_SECONDS = 0.02
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: closing sends RST
_SETTLE_SECONDS = 0.02  # what was written has left before the RST


class Sender:
    """Sends the replies of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, now: Callable[[], float]) -> None:
        self._reader = reader
        self._writer = writer
        self._now = now
        self.is_reset = False
        """Whether the connection is to be aborted."""
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        # A drain then waits for the kernel to take everything: what the log says was sent has left the process.
        writer.transport.set_write_buffer_limits(high=1, low=0)

    @property
    def is_deserted(self) -> bool:
        """Whether the client has closed the connection, in order or not; seen here before a write fails."""
        return self._reader.at_eof() or self._reader.exception() is not None or self._writer.transport.is_closing()

    async def greet(self, greeting: bytes | End) -> None:
        """Do what is done in place of HTTP."""
        if isinstance(greeting, bytes):
            await self._write(greeting)
            await self._finish(End.CLOSE)
        else:
            await self._finish(greeting)

    async def send(self, reply: Reply, exchange: Exchange, *, is_last: bool) -> bool:
        """Send a reply; return whether the connection lives on. Raises OSError when the client is gone."""
        if reply.delay:
            await asyncio.sleep(reply.delay)
        is_last = is_last or reply.framing is Framing.CLOSE or reply.version == "HTTP/1.0"
        if reply.raw is not None:
            await self._write(reply.raw)
        else:
            await self._write(reply_head(reply, is_last=is_last or reply.after is End.CLOSE))
            if exchange.request.method != "HEAD" and reply.status not in (204, 304):
                await self._body(reply, exchange)
        exchange.is_complete, exchange.ended = reply.cut is None, self._now()
        after = End.CLOSE if is_last and reply.after is End.KEEP else reply.after
        return await self._finish(after)

    async def _body(self, reply: Reply, exchange: Exchange) -> None:
        chunked = reply.framing in (Framing.CHUNKED, Framing.BOTH)
        stop = reply.first + min(reply.length, reply.length if reply.cut is None else reply.cut)
        at, began = reply.first, self._now()
        size = reply.slice_bytes or _WRITE_BYTES
        if reply.rate is not None:
            size = min(size, max(1, int(reply.rate * _PACE_SECONDS)))
        while at < stop:
            if reply.rate is not None:
                due = began + (at - reply.first) / reply.rate
                await asyncio.sleep(max(0.0, due - self._now()))
            data = reply.source.read(at, min(at + size, stop))
            await self._write(chunk(data) if chunked else data)
            at += len(data)
            exchange.sent += len(data)
        if reply.cut is None:
            ending = last_chunk(reply.trailers) if chunked and reply.is_last_chunk_sent else b""
            await self._write(ending + reply.extra)

    async def _write(self, data: bytes) -> None:
        if data:
            self._writer.write(data)
            await self._writer.drain()
            if self._writer.transport.is_closing():
                raise ConnectionResetError("the client is gone")

    async def _finish(self, after: End) -> bool:
        match after:
            case End.KEEP:
                return True
            case End.CLOSE:
                return False
            case End.RESET:
                await asyncio.sleep(_SETTLE_SECONDS)
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self.is_reset = True
                return False
            case End.HANG:
                while await self._reader.read(65536):
                    pass
                return False
            case _:
                assert_never(after)
