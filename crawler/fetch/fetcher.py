"""One exchange: a request out, an outcome back. Nothing that the network or a server does raises from here.

    async with Fetcher(FetchOptions(user_agent="mybot (+https://example.org/bot)")) as fetcher:
        outcome = await fetcher.fetch(request)

What a response means is decided here, in `_answer`; what to do about it (retry, follow, give up) is the frontier's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from ssl import SSLContext
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDict
from yarl import URL

from crawler.fetch.addresses import AddressPolicy
from crawler.fetch.body import drain, read_body
from crawler.fetch.errors import NETWORK_ERRORS, outcome_of
from crawler.fetch.guard import MAX_HEAD_BYTES
from crawler.fetch.head import REDIRECTS, fields_of, length_of, redirect_target, retry_after
from crawler.fetch.options import FetchOptions
from crawler.fetch.outcome import Failed, Fetched, Outcome, Redirected, Refused
from crawler.fetch.resolver import Resolver, is_own_address
from crawler.fetch.session import Connector, open_session
from crawler.fetch.tls import client_context
from crawler.fetch.watch import Exchange, Phase, Watch
from crawler.frontier.reasons import Reason
from crawler.frontier.request import Kind, Request
from crawler.frontier.scope import BAD_PORTS
from pipelines.page import Page
from pipelines.url import host_of, origin_of

MAX_ROBOTS_BYTES = 512 * 1024  # RFC 9309 2.5 asks for at least 500 KiB
HARD_LIMIT = 4  # times max_wire_bytes: a body that declares more is a download, and none of it is read
MAX_ORIGINS = 4096  # remembered verdicts

_TIMED_OUT = {
    Reason.CONNECT_TIMEOUT: "no connection in time",
    Reason.READ_TIMEOUT: "nothing more came",
    Reason.TOTAL_TIMEOUT: "the response took too long",
    Reason.TOO_SLOW: "the body came too slowly",
}


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
    ) -> None:
        """`wall` gives the time of day in UTC; `resolver`, if given, replaces the address filter for names."""
        self._options = options
        self._wall = wall
        self._policy = AddressPolicy(options.allow_addresses, is_own_address)
        self._resolver = resolver
        self._secrets = {secrets.origin: CIMultiDict(secrets.as_headers()) for secrets in options.origins}
        self._by_tls_proxy = options.proxy is not None and options.proxy.startswith("https:")
        self._context: SSLContext | None = None
        self._verdicts: dict[str, Refused | None] = {}
        self._own_resolver: Resolver | None = None
        self._connector: Connector | None = None
        self._session: aiohttp.ClientSession | None = None
        self._watch: Watch | None = None

    async def __aenter__(self) -> Self:
        options = self._options
        proxy = URL(options.proxy).raw_host if options.proxy else None
        resolver = self._resolver
        if resolver is None:
            trusted = frozenset({proxy}) if proxy else frozenset()
            resolver = self._own_resolver = Resolver(
                self._policy,
                trusted=trusted,
                timeout=0.9 * options.connect_timeout,
                threads=max(4, min(32, options.concurrency)),
            )
        self._watch = Watch(options, asyncio.get_running_loop())
        self._connector = Connector(options, self._watch, resolver)
        self._session = open_session(options, self._connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        assert self._watch is not None
        self._watch.close()
        await self._session.close()
        await asyncio.sleep(0)  # a transport that was aborted in its TLS handshake closes its socket in the next turn
        if self._own_resolver is not None:
            await self._own_resolver.close()

    @property
    def idle_connections(self) -> int:
        """Connections kept open for the next request to their origin."""
        return 0 if self._connector is None else self._connector.idle

    async def fetch(self, request: Request, sent: Callable[[], None] | None = None) -> Outcome:
        """Return what one exchange for `request` came to. Cancellation passes; bugs pass.

        `sent` is called when the connection is there and the request goes out, and again if it has to be repeated.
        """
        watch = self._watch
        assert watch is not None, "used as `async with Fetcher(...)`"
        assert self._connector is not None
        origin = origin_of(request.url)
        refused = self._refusal(origin, request)
        if refused is not None:
            return refused
        exchange = watch.start(sent)
        try:
            return await self._exchange(request, origin, exchange)
        except asyncio.CancelledError:
            if not exchange.claim():
                raise
            assert exchange.expired is not None
            return Failed(exchange.expired, _TIMED_OUT[exchange.expired])
        except NETWORK_ERRORS as error:
            return outcome_of(error)
        finally:
            watch.finish(exchange)
            if exchange.guard is not None:
                self._connector.finished(exchange.guard)

    def _tls(self) -> SSLContext:
        if self._context is None:
            self._context = client_context(verify=self._options.verify_tls)
        return self._context

    def _refusal(self, origin: str, request: Request) -> Refused | None:
        """Return why nothing may be sent to this origin, as far as its URL alone can tell."""
        try:
            return self._verdicts[origin]
        except KeyError:
            pass
        refused: Refused | None = None
        port = origin[origin.index("//") + 2 + len(host_of(request.url)) :]
        if port and int(port[1:]) in BAD_PORTS - self._options.allow_ports:
            refused = Refused(Reason.PORT_BLOCKED, f"port {port[1:]}")
        elif not self._policy.permits_host(host_of(request.url)):
            refused = Refused(Reason.ADDRESS_BLOCKED, "no address that the crawl may reach")
        if len(self._verdicts) >= MAX_ORIGINS:
            self._verdicts.clear()
        self._verdicts[origin] = refused
        return refused

    async def _exchange(self, request: Request, origin: str, exchange: Exchange) -> Outcome:
        assert self._session is not None
        response = await self._session.get(
            URL(request.url, encoded=True),  # yarl would spell it anew
            headers=self._secrets.get(origin),
            allow_redirects=False,
            ssl=self._tls() if request.url.startswith("https:") or self._by_tls_proxy else True,
        )
        try:
            return await self._answer(request, response, exchange)
        except BaseException:
            response.close()
            raise

    async def _answer(self, request: Request, response: aiohttp.ClientResponse, exchange: Exchange) -> Outcome:
        """Decide by the head what to do with the body, and do it."""
        raw = response.raw_headers
        if len(raw) > 8 and length_of(raw) > MAX_HEAD_BYTES:
            response.close()
            return Failed(Reason.HEADERS_TOO_LARGE, "the head of the response is too long", response.status)
        if 200 <= response.status < 300:
            return await self._page(request, response, exchange)
        outcome = self._other(request, response)
        await self._drain(response, exchange)
        return outcome

    async def _page(self, request: Request, response: aiohttp.ClientResponse, exchange: Exchange) -> Outcome:
        assert self._watch is not None
        fetched_at = self._stamp()
        limit = self._options.max_wire_bytes
        if request.kind is Kind.ROBOTS:
            limit = MAX_ROBOTS_BYTES + 1
        elif (declared := response.headers.get(hdrs.CONTENT_LENGTH, "")).isdigit() and int(
            declared
        ) > HARD_LIMIT * limit:
            response.close()
            return Failed(Reason.TOO_LARGE, f"declares {declared[:20]} bytes", response.status)
        head_at = self._watch.reading(exchange, response.content, Phase.BODY)
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
            (("ttfb", round(head_at - exchange.started, 6)), ("fetch", round(self._watch.now() - exchange.started, 6))),
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
        assert self._watch is not None
        self._watch.reading(exchange, response.content, Phase.DRAIN)
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
