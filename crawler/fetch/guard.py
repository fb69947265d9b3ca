"""What stands between the socket and aiohttp's response parser, and sees every byte first.

Some things can only be done here. A flood of interim responses (RFC 9110 15.2) is stopped inside the read in which it
comes; a loop that first let aiohttp take them all in would stand still for more than a second. A head is bounded as a
whole, where aiohttp bounds its lines and their number. A body whose framing turns out to be broken wakes its reader at
once; aiohttp closes the connection but leaves the reader waiting. And a connection says whether it ended in order or by
reset, and whether it served a request before.

`transport.set_protocol` is asyncio's own way to do this; the guard passes everything on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import StreamReader
from aiohttp.http_exceptions import HttpProcessingError

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

MAX_INTERIM = 10
MAX_HEAD_BYTES = 300_000  # Chrome stops at 256 KiB


class HeadTooLong(HttpProcessingError):
    """All header lines together are more than MAX_HEAD_BYTES."""


class PouringStopped(Exception):
    """Whoever takes a body wants no more of it."""


class Guard(asyncio.Protocol):
    """The protocol of one connection, in front of aiohttp's. Lives as long as the connection."""

    __slots__ = (
        "_gone",
        "_handler",
        "_head_bytes",
        "_heads",
        "_left",
        "_sink",
        "lost",
        "reused",
        "stream",
        "transport",
    )

    def __init__(self, handler: ResponseHandler, transport: asyncio.Transport, gone: Callable[[Guard], None]) -> None:
        """Take the transport over; `gone` is called when the connection is lost."""
        self._handler = handler
        self._gone = gone
        self._heads = 0
        self._head_bytes = 0
        self._left = 0
        self._sink: Callable[[bytes], bool] | None = None
        self.transport = transport
        self.reused = False
        self.lost: Exception | None = None
        """What broke the connection, e.g. ConnectionResetError; None while it is open and after an orderly end."""
        self.stream: StreamReader | None = None
        """The body being read, if any."""
        transport.set_protocol(self)

    def begin(self) -> None:
        """Note that a request is about to be sent."""
        self._heads = 0
        self._head_bytes = 0
        self.stream = None

    def pour(self, sink: Callable[[bytes], bool], left: int) -> None:
        """From now on give the next `left` bytes, the rest of the body, to `sink` and not to aiohttp.

        aiohttp copies each byte and wakes a task for each read, which at a gigabyte a second is a quarter of all work.
        When they have come, the stream is told that it ended, so that the connection can be used again: the next
        request gets a new parser. `sink` returns whether it wants more; what it does not want ends the pouring.
        """
        self._sink, self._left = sink, left

    def _poured(self, data: bytes, sink: Callable[[bytes], bool]) -> None:
        stream = self.stream
        assert stream is not None
        stream.total_bytes += len(data)  # what the watch looks at
        if len(data) > self._left:
            data = data[: self._left]
            self._handler.force_close()  # what comes behind the body is no answer to anything
        self._left -= len(data)
        wants_more = sink(data)
        if not self._left:
            self._sink = None
            stream.feed_eof()
        elif not wants_more:
            self._sink = None
            stream.set_exception(PouringStopped())
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._sink is not None:
            self._poured(data, self._sink)
            return
        handler = self._handler
        waiting = len(handler)
        handler.data_received(data)
        self._heads += len(handler) - waiting
        if self._heads > MAX_INTERIM + 1:
            self._fail(HttpProcessingError(message=f"more than {MAX_INTERIM} interim responses"))
        elif not self._heads:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._fail(HeadTooLong())
        if self.stream is not None and (error := handler.exception()) is not None and not self.stream.is_eof():
            self.stream.set_exception(error)

    def _fail(self, error: HttpProcessingError) -> None:
        self._handler.set_exception(error)
        self.transport.abort()

    def eof_received(self) -> None:
        self._handler.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = exc
        self._handler.connection_lost(exc)
        self._gone(self)

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()
