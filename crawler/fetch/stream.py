"""One exchange with a body that is taken as it comes: for downloads, which are larger than memory.

    async with Streamer(options) as streamer:
        async with streamer.opened(url, {"Range": "bytes=0-"}) as answer:
            while chunk := await answer.read():
                ...

The same door as `Fetcher`: its addresses, its guard, its TLS, its secrets for each origin, its limits for connection,
head, silence and least rate. There is no limit for the whole, nothing is decoded, and no redirect is followed. What the
network or the server does wrong is raised as `Broken`, from the block too: the watch ends it wherever it waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver
from aiohttp.http_exceptions import HttpProcessingError

from crawler.fetch.body import arrived, drain, framing_of
from crawler.fetch.client import TIMED_OUT, Client
from crawler.fetch.errors import NETWORK_ERRORS, outcome_of
from crawler.fetch.guard import MAX_HEAD_BYTES, PouringStopped
from crawler.fetch.head import fields_of, length_of, redirect_target
from crawler.fetch.options import FetchOptions
from crawler.fetch.watch import Exchange, Phase
from crawler.frontier.reasons import Reason
from pipelines.url import CanonicalUrl

STREAM_BUFFER = 1024 * 1024
"""Bytes that may wait for whoever reads a body. With 64 KiB, aiohttp's own, the same bytes cost 40 % more time: the
connection is paused and resumed, which are system calls, all the while."""


class Broken(Exception):
    """An exchange that did not come to its end. Expected trouble, which the caller turns into a value."""

    def __init__(self, reason: Reason, detail: str, *, is_early_end: bool = False) -> None:
        """`is_early_end`: the server ended the connection in order, but before the end of the body."""
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.is_early_end = is_early_end


class Answer:
    """The head of a response, and its body as it comes. Good inside the block of `opened` only."""

    __slots__ = ("_exchange", "_response", "_stream", "fields", "framing", "status", "url")

    def __init__(self, url: CanonicalUrl, response: aiohttp.ClientResponse, exchange: Exchange) -> None:
        self._response = response
        self._exchange = exchange
        self._stream = response.content
        self.url = url
        self.status = response.status
        self.fields = fields_of(response.raw_headers)
        """Header lines in their order: names in lower case, values as latin-1."""
        self.framing = framing_of(response)
        """What marks the end of the body: `length`, `chunked`, or `close`, where a cut cannot be told from the end."""

    async def read(self) -> bytes:
        """Return some bytes, as soon as there are any; empty at the end of the body. Raises Broken.

        What came before a broken end is returned first, and the next call raises.
        """
        try:
            if self.framing == "chunked":  # `readchunk` would give out each of the server's chunks alone
                data = await self._stream.readany()
            else:
                data, _ = await self._stream.readchunk()
        except (aiohttp.ClientPayloadError, HttpProcessingError) as error:
            data = arrived(self._stream)
            if not data:
                raise self._broken() from error
            self._stream.set_exception(error)
        if not data and self._exchange.guard is not None and self._exchange.guard.lost is not None:
            raise self._broken()
        return data

    async def pour(self, sink: Callable[[bytes], bool]) -> None:
        """Give what is left of the body to `sink`, piece by piece, in the moment in which it arrives. Raises Broken.

        `sink` is called in the event loop, must not raise, and returns whether it wants more. For bodies of a known
        length it costs a good deal less than `read`.
        """
        length = self._response.headers.get(hdrs.CONTENT_LENGTH, "")
        guard, stream = self._exchange.guard, self._stream
        if guard is not None and guard.stream is stream and self.framing == "length" and length.isdigit():
            data = stream.read_nowait(-1) if stream.exception() is None else b""
            left = int(length) - stream.total_bytes
            if left > 0 and stream.exception() is None:
                guard.pour(sink, left)
            if data and not sink(data):
                return
        try:
            while data := await self.read():
                if not sink(data):
                    return
        except PouringStopped:
            return

    def _broken(self) -> Broken:
        lost = self._exchange.guard.lost if self._exchange.guard is not None else None
        if lost is not None:
            outcome = outcome_of(lost)
            return Broken(outcome.reason, outcome.detail)
        return Broken(Reason.DISCONNECTED, "the connection ended inside the response", is_early_end=True)

    def touch(self) -> None:
        """Note that the server is not to blame for the last pause: whoever reads did not want more."""
        self._exchange.moved = asyncio.get_running_loop().time()

    def expect_bytes_within(self, seconds: float) -> None:
        """Wait no longer than this for each next byte; `read_timeout` stays the most."""
        self._exchange.silence = seconds

    def redirect_target(self) -> CanonicalUrl | None:
        """Return where Location leads; None when that is no http(s) URL."""
        location = next((value for name, value in self._response.raw_headers if name.lower() == b"location"), b"")
        return redirect_target(location, self.url)

    async def discard(self) -> None:
        """Read a small unwanted body, for its connection to be used again; close the connection of a large one."""
        try:
            await drain(self._response)
        except NETWORK_ERRORS:
            self._response.close()


class _Opened:
    """The block of one exchange. Enter and leave it in one task, which runs no other exchange meanwhile."""

    def __init__(self, client: Client, url: CanonicalUrl, headers: Mapping[str, str]) -> None:
        self._client = client
        self._url = url
        self._headers = headers
        self._response: aiohttp.ClientResponse | None = None
        self._exchange: Exchange | None = None

    async def __aenter__(self) -> Answer:
        refused = self._client.refusal(self._url)
        if refused is not None:
            raise Broken(refused.reason, refused.detail)
        self._exchange = exchange = self._client.start()
        try:
            self._response = response = await self._client.get(self._url, self._headers)
            raw = response.raw_headers
            if len(raw) > 8 and length_of(raw) > MAX_HEAD_BYTES:
                raise Broken(Reason.HEADERS_TOO_LARGE, "the head of the response is too long")
        except BaseException as error:
            self._leave(is_whole=False)
            broken = self._translated(error)
            if broken is None:
                raise
            raise broken from error
        self._client.watch.reading(exchange, response.content, Phase.BODY)
        return Answer(self._url, response, exchange)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(is_whole=error is None)
        if error is not None and (broken := self._translated(error)) is not None:
            raise broken from error

    def _leave(self, *, is_whole: bool) -> None:
        assert self._exchange is not None
        response = self._response
        if response is not None and (not is_whole or not response.content.is_eof()):
            response.close()
        self._client.finish(self._exchange)

    def _translated(self, error: BaseException) -> Broken | None:
        """Return what the watch or the network meant by `error`; None for the caller's own, and for Broken."""
        assert self._exchange is not None
        expired = self._exchange.expired
        if isinstance(error, asyncio.CancelledError):
            if not self._exchange.claim():
                return None
            assert expired is not None
            return Broken(expired, TIMED_OUT[expired])
        if isinstance(error, aiohttp.ClientError | HttpProcessingError) or (
            self._response is None and isinstance(error, NETWORK_ERRORS)
        ):  # an OSError of the block may be the disk's
            outcome = outcome_of(error)
            return Broken(outcome.reason, outcome.detail)
        return None


class Streamer:
    """Opens streamed exchanges, as many at once as it is asked for. An async context manager."""

    def __init__(self, options: FetchOptions, *, resolver: AbstractResolver | None = None) -> None:
        """`options.total_timeout` and `accept_encoding` are not used; `resolver` is as with `Fetcher`."""
        self._client = Client(
            replace(options, total_timeout=inf, accept_encoding="identity"), resolver=resolver, buffer=STREAM_BUFFER
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    def opened(self, url: CanonicalUrl, headers: Mapping[str, str]) -> _Opened:
        """Return the block of one GET; it raises Broken when there is no answer, and when it breaks inside."""
        return _Opened(self._client, url, headers)
