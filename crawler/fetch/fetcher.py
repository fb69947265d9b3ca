"""One exchange: a request out, an outcome back. Nothing that the network or a server does raises from here.

    async with Fetcher(FetchOptions(user_agent="mybot (+https://example.org/bot)")) as fetcher:
        outcome = await fetcher.fetch(request)

What a response means is decided here, in `_answer`; what to do about it (retry, follow, give up) is the frontier's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver

from crawler.fetch.body import drain, read_body
from crawler.fetch.client import TIMED_OUT, Client
from crawler.fetch.errors import NETWORK_ERRORS, outcome_of
from crawler.fetch.guard import MAX_HEAD_BYTES
from crawler.fetch.head import REDIRECTS, fields_of, length_of, redirect_target, retry_after
from crawler.fetch.options import FetchOptions
from crawler.fetch.outcome import Failed, Fetched, FileHead, Outcome, Redirected
from crawler.fetch.watch import Exchange, Phase
from crawler.frontier.reasons import Reason
from crawler.frontier.request import Kind, Request
from pipelines.page import Page

MAX_ROBOTS_BYTES = 512 * 1024  # RFC 9309 2.5 asks for at least 500 KiB
HARD_LIMIT = 4  # times max_wire_bytes: a body that declares more is a download, and none of it is read


def utc_now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


class Fetcher:
    """Fetches URLs one exchange at a time, as often at once as it is called. An async context manager."""

    def __init__(
        self,
        options: FetchOptions,
        *,
        wall: Callable[[], datetime] = utc_now,
        resolver: AbstractResolver | None = None,
        is_file: Callable[[str], bool] | None = None,
    ) -> None:
        """`wall` gives the time of day in UTC; `resolver`, if given, replaces the address filter for names.

        `is_file` tells by its Content-Type whether a response is a file, whose body is left to a download.
        """
        self._options = options
        self._is_file = is_file
        self._wall = wall
        self._client = Client(options, resolver=resolver)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    @property
    def idle_connections(self) -> int:
        """Connections kept open for the next request to their origin."""
        return self._client.idle_connections

    async def fetch(self, request: Request, sent: Callable[[], None] | None = None) -> Outcome:
        """Return what one exchange for `request` came to. Cancellation passes; bugs pass.

        `sent` is called when the connection is there and the request goes out, and again if it has to be repeated.
        """
        refused = self._client.refusal(request.url)
        if refused is not None:
            return refused
        exchange = self._client.start(sent)
        try:
            return await self._exchange(request, exchange)
        except asyncio.CancelledError:
            if not exchange.claim():
                raise
            assert exchange.expired is not None
            return Failed(exchange.expired, TIMED_OUT[exchange.expired])
        except NETWORK_ERRORS as error:
            return outcome_of(error)
        finally:
            self._client.finish(exchange)

    async def _exchange(self, request: Request, exchange: Exchange) -> Outcome:
        began = perf_counter()  # for the record; the loop's clock, which limits go by, has whole milliseconds in uvloop
        response = await self._client.get(request.url)
        try:
            return await self._answer(request, response, exchange, began)
        except BaseException:
            response.close()
            raise

    async def _answer(
        self, request: Request, response: aiohttp.ClientResponse, exchange: Exchange, began: float
    ) -> Outcome:
        """Decide by the head what to do with the body, and do it."""
        raw = response.raw_headers
        if len(raw) > 8 and length_of(raw) > MAX_HEAD_BYTES:
            response.close()
            return Failed(Reason.HEADERS_TOO_LARGE, "the head of the response is too long", response.status)
        if 200 <= response.status < 300:
            kind = response.headers.get(hdrs.CONTENT_TYPE, "")
            if self._is_file is not None and request.kind is Kind.PAGE and self._is_file(kind):
                response.close()
                return FileHead(kind)
            return await self._page(request, response, exchange, began)
        outcome = self._other(request, response)
        await self._drain(response, exchange)
        return outcome

    async def _page(
        self, request: Request, response: aiohttp.ClientResponse, exchange: Exchange, began: float
    ) -> Outcome:
        fetched_at, head_at = self._stamp(), perf_counter()
        limit = self._options.max_wire_bytes
        if request.kind is Kind.ROBOTS:
            limit = MAX_ROBOTS_BYTES + 1
        elif (declared := response.headers.get(hdrs.CONTENT_LENGTH, "")).isdigit() and int(
            declared
        ) > HARD_LIMIT * limit:
            response.close()
            return Failed(Reason.TOO_LARGE, f"declares {declared[:20]} bytes", response.status)
        self._client.watch.reading(exchange, response.content, Phase.BODY)
        body = await read_body(response, limit, exchange.guard)
        page = Page(
            request.id,
            request.url,
            response.status,
            fields_of(response.raw_headers),
            body.data,
            fetched_at,
            request.depth,
            request.via,
            body.truncated,
            request.redirects,
            (("ttfb", round(head_at - began, 6)), ("fetch", round(perf_counter() - began, 6))),
            body.framing,
        )
        return Fetched(page)

    def _other(self, request: Request, response: aiohttp.ClientResponse) -> Redirected | Failed:
        """Say what a response without a page means."""
        status = response.status
        if status in REDIRECTS:
            location = next((value for name, value in response.raw_headers if name.lower() == b"location"), b"")
            target = redirect_target(location, request.url)
            if target is None:
                return Failed(Reason.REDIRECT_INVALID, "no http(s) URL in Location", status)
            return Redirected(status, target, fields_of(response.raw_headers), self._stamp())
        wait = retry_after(response.headers.get(hdrs.RETRY_AFTER), self._wall()) if status >= 400 else None
        return Failed(_reason(status, wait), f"status {status}", status, wait)

    async def _drain(self, response: aiohttp.ClientResponse, exchange: Exchange) -> None:
        """Read the rest, if small; whatever goes wrong in it changes nothing."""
        self._client.watch.reading(exchange, response.content, Phase.DRAIN)
        try:
            await drain(response)
        except asyncio.CancelledError:
            response.close()
            if not exchange.claim():
                raise
        except NETWORK_ERRORS:
            response.close()

    def _stamp(self) -> str:
        return self._wall().isoformat(timespec="milliseconds")[:-6] + "Z"  # without +00:00


def _reason(status: int, wait: float | None) -> Reason:
    if status in (401, 407):
        return Reason.AUTH
    if status == 429 or (status == 503 and wait is not None):
        return Reason.RATE_LIMITED
    if 400 <= status < 500:
        return Reason.HTTP_4XX
    if 500 <= status < 600:
        return Reason.HTTP_5XX
    if status == 101:  # RFC 9110 7.8: only for a client that asked to upgrade
        return Reason.PROTOCOL
    return Reason.HTTP_OTHER
