"""The gate of a download without a crawl: so many requests to a host at once, and a pause when it asks for less."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from math import inf

from crawler.download.plan.refusals import Refusals
from pipelines.url import CanonicalUrl, host_of


class _Host:
    def __init__(self) -> None:
        self.inside = 0
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.not_before = 0.0


class HostGate:
    """At most `per_host` requests to a host at once, and no more than it was seen to serve; first come, first served.

    One event loop.
    """

    def __init__(self, per_host: int, refusals: Refusals, retry_after_max: float = inf) -> None:
        """`retry_after_max`: the longest pause in seconds that a host gets, whatever it asks for."""
        self._per_host = per_host
        self._refusals = refusals
        self._retry_after_max = retry_after_max
        self._hosts: dict[str, _Host] = {}

    async def enter(self, url: str) -> None:
        """Wait until the host of `url` has a slot free, and take it."""
        name = host_of(CanonicalUrl(url))
        host = self._hosts.setdefault(name, _Host())
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        host.waiting.append(turn)
        self._let_in(name, host)
        try:
            await turn
            while (wait := host.not_before - loop.time()) > 0:  # noqa: ASYNC110 - for a time, not for an event
                await asyncio.sleep(wait)
        except BaseException:
            if turn.done() and not turn.cancelled():
                host.inside -= 1
            else:
                with suppress(ValueError):  # it may have been passed over meanwhile
                    host.waiting.remove(turn)
            self._let_in(name, host)
            raise

    def leave(self, url: str) -> None:
        """Give the slot back."""
        name = host_of(CanonicalUrl(url))
        host = self._hosts[name]
        host.inside -= 1
        self._let_in(name, host)

    def slow_down(self, url: str, retry_after: float | None) -> None:
        """Let nobody else in for as long as the host asked, within reason: other files of it wait, too."""
        if not retry_after:
            return
        now = asyncio.get_running_loop().time()
        for known, each in list(self._hosts.items()):  # those whose pause ended while nobody asked
            self._forget(known, each, now)
        host = self._hosts.setdefault(host_of(CanonicalUrl(url)), _Host())  # whom it refused has left by now
        host.not_before = max(host.not_before, now + min(retry_after, self._retry_after_max))

    def _let_in(self, name: str, host: _Host) -> None:
        """Let in as many as may be; forget a host of which nothing is to be remembered."""
        now = asyncio.get_running_loop().time()
        above = self._refusals.above(name, now)
        limit = self._per_host if above is None else min(self._per_host, above)
        while host.waiting and host.inside < limit:
            turn = host.waiting.popleft()
            if not turn.done():  # else it was cancelled
                turn.set_result(None)
                host.inside += 1
        self._forget(name, host, now)

    def _forget(self, name: str, host: _Host, now: float) -> None:
        is_idle = not host.inside and not host.waiting and host.not_before <= now
        if is_idle and self._hosts.get(name) is host:  # not one that came after it
            del self._hosts[name]
