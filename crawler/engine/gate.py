"""The door through which downloads reach the hosts of a crawl: the frontier's own limits, delays and pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

from crawler.engine.clock import Clock
from crawler.frontier.frontier import Frontier
from crawler.frontier.steps import Slot
from pipelines.url import host_of


class FrontierGate:
    """Lets each request of a download wait for its turn among the pages. One event loop."""

    def __init__(self, frontier: Frontier, clock: Clock, wake: Callable[[], None], *, retry_after_max: float) -> None:
        """`wake` makes the scheduler look at the frontier again; a longer pause than `retry_after_max` is cut to it."""
        self._frontier = frontier
        self._clock = clock
        self._wake = wake
        self._retry_after_max = retry_after_max
        self._tickets = count(1)
        self._waiting: dict[int, asyncio.Future[None]] = {}

    async def enter(self, url: str) -> None:
        """Wait until the host of `url` may be asked. Each return is followed by one `leave`."""
        ticket = next(self._tickets)
        turn = self._waiting[ticket] = asyncio.get_running_loop().create_future()
        self._frontier.want_slot(ticket, host_of(url))
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            del self._waiting[ticket]
            if not self._frontier.withdraw(ticket):
                self.leave(url)
            raise
        del self._waiting[ticket]

    def granted(self, slot: Slot) -> None:
        """Let the one in who has this turn."""
        turn = self._waiting[slot.ticket]
        if not turn.done():  # else it was cancelled, and gives its place back when it wakes
            turn.set_result(None)

    def leave(self, url: str) -> None:
        """Note that the request is over."""
        self._frontier.left(host_of(url), self._clock.now())
        self._let_in()

    def _let_in(self) -> None:
        """Let the next one in at once, if it can be, since the scheduler may wait for a page; it sees to the rest."""
        slot = self._frontier.grant(self._clock.now())
        if slot is not None:
            self.granted(slot)
        self._wake()

    def slow_down(self, url: str, retry_after: float | None) -> None:
        """Note that the host asked for less, and for how long in seconds, if it said so."""
        now = self._clock.now()
        pause = None if retry_after is None else now + min(retry_after, self._retry_after_max)
        self._frontier.slowed_down(host_of(url), now, pause)
        self._wake()
