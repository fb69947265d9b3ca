"""A web server at an address of its own, in the test's own loop, that answers as it is told and knows what it saw."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Host:
    """A web server at an address of its own, so that it is a host of its own, and the requests it saw."""

    def __init__(self, address: str, answer: Answer) -> None:
        self.address = address
        self.seen: list[tuple[float, str]] = []
        self.url = ""
        self._answer = answer

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Host]:
        """Serve while the block runs."""
        app = web.Application()
        app.router.add_get("/{any:.*}", self._take)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, self.address, 0).start()
        self.url = f"http://{self.address}:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((time.monotonic(), request.path))
        response = await self._answer(request)
        response.force_close()  # or aiohttp would itself repeat a request on a connection that was reset
        return response

    def gaps(self) -> list[float]:
        """Return the seconds between one request and the next."""
        return [late - early for (early, _), (late, _) in pairwise(self.seen)]

    def times_of(self, path: str) -> list[float]:
        """Return when a path was asked for."""
        return [at for at, asked in self.seen if asked == path]

    def seen_between(self, early: float, late: float) -> int:
        """Return how many requests came in between."""
        return sum(early < at < late for at, _ in self.seen)
