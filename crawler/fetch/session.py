"""The aiohttp session as a crawler wants it: no cookies, no redirects, no decompression, no environment, no timers."""

from __future__ import annotations

from collections.abc import Sequence
from http.cookies import BaseCookie, SimpleCookie
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDict
from yarl import URL

from crawler.fetch.guard import Guard
from crawler.fetch.options import FetchOptions
from crawler.fetch.watch import Watch

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

MAX_FIELD_BYTES = 32 * 1024  # Apache sends at most 8 KB, nginx 4 or 8; a Content-Security-Policy may need 16
MAX_FIELDS = 512  # times MAX_FIELD_BYTES is a page's cap, so a head costs no more memory than a body
MIN_IDLE = 64
PAGE_BUFFER = 256 * 1024
"""Bytes of a body that may wait for whoever reads it: a page is read at once."""
ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"  # what browsers send

_NO_COOKIES: BaseCookie[str] = SimpleCookie()


class NoCookies(aiohttp.DummyCookieJar):
    """Keeps nothing, and unlike its base does not parse Set-Cookie headers to do so."""

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        """Ignore them."""

    def filter_cookies(self, request_url: URL) -> BaseCookie[str]:
        """Return no cookies; aiohttp does not write into what it gets."""
        return _NO_COOKIES


class Connector(aiohttp.TCPConnector):
    """Puts a guard on every connection, gives out none on which the server spoke unasked, and keeps few idle ones."""

    def __init__(self, options: FetchOptions, watch: Watch, resolver: AbstractResolver) -> None:
        """The resolver stays the caller's to close."""
        super().__init__(
            resolver=resolver,
            limit=0,  # the frontier limits; a second queue in here would spend the connect timeout waiting
            limit_per_host=0,
            ttl_dns_cache=int(options.dns_cache),
            use_dns_cache=options.dns_cache > 0,
            keepalive_timeout=options.keepalive,
            ssl=options.verify_tls,
        )
        self._watch = watch
        self._idle: dict[Guard, None] = {}  # longest idle first
        self._max_idle = max(MIN_IDLE, options.concurrency)

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:
        """Return a connection whose next response is the answer to `req`.

        An idle connection may hold a response that nobody asked for, and aiohttp would take it for the answer; it is
        closed instead. aiohttp calls this a second time when a connection broke before the response. That is right
        for one that had been idle, which the server may close at any time (RFC 9112 9.3.1); on a new one it would be a
        second request without the host's delay.
        """
        exchange = self._watch.current()
        again = exchange.guard is not None
        if exchange.guard is not None and not exchange.guard.reused:
            raise aiohttp.ServerDisconnectedError
        while True:
            connection = await super().connect(req, traces, timeout)
            guard = self._guarded(connection)
            if guard is not None and not (again and guard.reused):
                self._watch.connected(exchange, guard)
                return connection
            connection.close()

    def _guarded(self, connection: Connection) -> Guard | None:
        handler, transport = connection.protocol, connection.transport
        if handler is None or transport is None or handler.should_close:
            return None
        guard = transport.get_protocol()
        if isinstance(guard, Guard):
            guard.reused = True
            self._idle.pop(guard, None)
        else:
            guard = Guard(handler, transport, self._lost)
        return guard

    def finished(self, guard: Guard) -> None:
        """Note that an exchange on this connection is over; close the longest idle connection when there are too many.

        aiohttp keeps every connection for the keep-alive time, and a crawl of many hosts would run out of descriptors.
        """
        if guard.transport.is_closing():
            return
        self._idle[guard] = None
        if len(self._idle) > self._max_idle:
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            oldest.transport.close()

    @property
    def idle(self) -> int:
        """How many connections are idle."""
        return len(self._idle)

    def _lost(self, guard: Guard) -> None:
        self._idle.pop(guard, None)


def open_session(options: FetchOptions, connector: Connector, buffer: int = PAGE_BUFFER) -> aiohttp.ClientSession:
    """Return a session that owns `connector`. Its requests need `allow_redirects=False`.

    `buffer`: bytes of one body that may wait before the connection is read no further; twice as much can be there.
    """
    headers: CIMultiDict[str] = CIMultiDict(
        {
            hdrs.USER_AGENT: options.user_agent,
            hdrs.ACCEPT: ACCEPT,
            hdrs.ACCEPT_ENCODING: options.accept_encoding,
        }
    )
    for name, value in options.headers:
        headers[name] = value
    return aiohttp.ClientSession(
        connector=connector,
        headers=headers,
        cookie_jar=NoCookies(),
        timeout=aiohttp.ClientTimeout(total=None),  # crawler.fetch.watch keeps the time
        auto_decompress=False,
        trust_env=False,
        requote_redirect_url=False,
        proxy=URL(options.proxy) if options.proxy else None,
        read_bufsize=buffer,
        max_line_size=MAX_FIELD_BYTES,
        max_field_size=MAX_FIELD_BYTES,
        max_headers=MAX_FIELDS,
    )
