"""What every exchange stands on: session, connections, addresses that may be reached, secrets, TLS, time limits.

`Fetcher` makes pages of it, `Streamer` bodies that come in pieces.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from ssl import SSLContext
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDict
from yarl import URL

from crawler.fetch.addresses import AddressPolicy
from crawler.fetch.options import FetchOptions
from crawler.fetch.outcome import Refused
from crawler.fetch.resolver import Resolver, is_own_address
from crawler.fetch.session import PAGE_BUFFER, Connector, open_session
from crawler.fetch.tls import client_context
from crawler.fetch.watch import Exchange, Watch
from crawler.frontier.reasons import Reason
from crawler.frontier.scope import BAD_PORTS
from pipelines.url import CanonicalUrl, host_of, origin_of

MAX_ORIGINS = 4096  # remembered verdicts

TIMED_OUT = {
    Reason.CONNECT_TIMEOUT: "no connection in time",
    Reason.READ_TIMEOUT: "nothing more came",
    Reason.TOTAL_TIMEOUT: "the response took too long",
    Reason.TOO_SLOW: "the body came too slowly",
}
"""What the reasons of the watch say to a person."""


class Client:
    """Sends requests, each under watch. An async context manager; owns its session, connections and resolver."""

    def __init__(
        self, options: FetchOptions, *, resolver: AbstractResolver | None = None, buffer: int = PAGE_BUFFER
    ) -> None:
        """`resolver`, if given, replaces the address filter for names; `buffer` is as with `open_session`."""
        self._options = options
        self._buffer = buffer
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
        self._session = open_session(options, self._connector, self._buffer)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        self.watch.close()
        await self._session.close()
        await asyncio.sleep(0)  # a transport that was aborted in its TLS handshake closes its socket in the next turn
        if self._own_resolver is not None:
            await self._own_resolver.close()

    @property
    def watch(self) -> Watch:
        """The time limits of this client's exchanges."""
        assert self._watch is not None, "used inside `async with`"
        return self._watch

    @property
    def idle_connections(self) -> int:
        """Connections kept open for the next request to their origin."""
        return 0 if self._connector is None else self._connector.idle

    def refusal(self, url: CanonicalUrl) -> Refused | None:
        """Return why nothing may be sent to the origin of `url`, as far as its URL alone can tell."""
        origin = origin_of(url)
        try:
            return self._verdicts[origin]
        except KeyError:
            pass
        refused: Refused | None = None
        port = origin[origin.index("//") + 2 + len(host_of(url)) :]
        if port and int(port[1:]) in BAD_PORTS - self._options.allow_ports:
            refused = Refused(Reason.PORT_BLOCKED, f"port {port[1:]}")
        elif not self._policy.permits_host(host_of(url)):
            refused = Refused(Reason.ADDRESS_BLOCKED, "no address that the crawl may reach")
        if len(self._verdicts) >= MAX_ORIGINS:
            self._verdicts.clear()
        self._verdicts[origin] = refused
        return refused

    def start(self, sent: Callable[[], None] | None = None) -> Exchange:
        """Put the current task under watch until `finish`; `sent` is called when the request goes out."""
        return self.watch.start(sent)

    def finish(self, exchange: Exchange) -> None:
        """Take an exchange off the watch; its connection may be idle now."""
        assert self._connector is not None
        self.watch.finish(exchange)
        if exchange.guard is not None:
            self._connector.finished(exchange.guard)

    async def get(self, url: CanonicalUrl, headers: Mapping[str, str] | None = None) -> aiohttp.ClientResponse:
        """Send a GET with the secrets of its origin and return the response with its head read; the caller closes it.

        Raises what is in `crawler.fetch.errors.NETWORK_ERRORS`.
        """
        assert self._session is not None, "used inside `async with`"
        fields = self._secrets.get(origin_of(url))
        if headers:
            fields = CIMultiDict(fields or ())
            fields.update(headers)
        return await self._session.get(
            URL(url, encoded=True),  # yarl would spell it anew
            headers=fields,
            allow_redirects=False,
            ssl=self._tls() if url.startswith("https:") or self._by_tls_proxy else True,
        )

    def _tls(self) -> SSLContext:
        if self._context is None:
            self._context = client_context(verify=self._options.verify_tls)
        return self._context
