"""The aiohttp session as a crawler wants it: no cookies, no redirects, no decompression, no environment, no timers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http.cookies import BaseCookie, SimpleCookie
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict
from yarl import URL

from crawler.fetch.options import FetchOptions

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

MAX_FIELD_BYTES = 32 * 1024  # Apache sends at most 8 KB, nginx 4 or 8; a Content-Security-Policy may need 16
MAX_FIELDS = 512  # times MAX_FIELD_BYTES is a page's cap, so a head costs no more memory than a body
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
    """Tells when a connection is there, and gives out none on which the server spoke unasked."""

    def __init__(self, *, connected: Callable[[], None], resolver: aiohttp.abc.AbstractResolver, options: FetchOptions):
        """`connected` is called in the task of the exchange. The resolver stays the caller's to close."""
        super().__init__(
            resolver=resolver,
            limit=0,  # the frontier limits; a second queue in here would spend the connect timeout waiting
            limit_per_host=0,
            ttl_dns_cache=int(options.dns_cache),
            use_dns_cache=options.dns_cache > 0,
            keepalive_timeout=options.keepalive,
            ssl=options.verify_tls,
        )
        self._on_connected = connected

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout) -> Connection:
        """Return a connection whose next response is the answer to `req`.

        An idle connection may hold a response that nobody asked for; aiohttp would take it for the answer to the next
        request (RFC 9112 9.3 lets a client close such a connection).
        """
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is not None and not protocol.should_close:
                self._on_connected()
                return connection
            connection.close()


def open_session(options: FetchOptions, connector: Connector) -> aiohttp.ClientSession:
    """Return a session that owns `connector`. Its requests need `allow_redirects=False`."""
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
        read_bufsize=256 * 1024,
        max_line_size=MAX_FIELD_BYTES,
        max_field_size=MAX_FIELD_BYTES,
        max_headers=MAX_FIELDS,
    )
