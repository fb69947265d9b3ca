"""The gate of a download without a crawl: so many requests to a host at once, and a pause when it asks for less."""

from __future__ import annotations

import asyncio

from pipelines.url import CanonicalUrl, host_of


class _Host:
    def __init__(self, limit: int) -> None:
        self.slots = asyncio.Semaphore(limit)
        self.users = 0
        self.not_before = 0.0


class HostGate:
    """At most `per_host` requests to a host at once, first come, first served."""

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._hosts: dict[str, _Host] = {}

    async def enter(self, url: str) -> None:
        """Wait until the host of `url` has a slot free, and take it."""
        name = host_of(CanonicalUrl(url))
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(self._per_host)
        host.users += 1
        try:
            await host.slots.acquire()
            try:
                loop = asyncio.get_running_loop()
                while (wait := host.not_before - loop.time()) > 0:  # noqa: ASYNC110 - for a time, not for an event
                    await asyncio.sleep(wait)
            except BaseException:
                host.slots.release()
                raise
        except BaseException:
            self._gone(name, host)
            raise

    def leave(self, url: str) -> None:
        """Give the slot back."""
        name = host_of(CanonicalUrl(url))
        host = self._hosts[name]
        host.slots.release()
        self._gone(name, host)

    def slow_down(self, url: str, retry_after: float | None) -> None:
        """Let nobody else in for as long as the host asked."""
        host = self._hosts.get(host_of(CanonicalUrl(url)))
        if host is not None and retry_after:
            host.not_before = max(host.not_before, asyncio.get_running_loop().time() + retry_after)

    def _gone(self, name: str, host: _Host) -> None:
        host.users -= 1
        if not host.users and host.not_before <= asyncio.get_running_loop().time():
            self._hosts.pop(name, None)
