"""A number of bytes that may be held at once, for whatever must stay bounded in memory."""

from __future__ import annotations

import asyncio
from collections import deque


class ByteBudget:
    """A number of bytes that may be held at once; taking more is an `await`. First come, first served."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.held = 0

    async def acquire(self, count: int) -> None:
        """Take `count` bytes, waiting until they fit. More than the whole limit is granted when nothing is held."""
        if not self._waiters and self._fits(count):
            self.held += count
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (count, turn)
        self._waiters.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(count)
            else:
                self._waiters.remove(entry)
                self._grant()
            raise

    def add(self, count: int) -> None:
        """Count `count` bytes that are held already, beyond the limit if need be; whoever acquires waits the longer."""
        self.held += count

    def release(self, count: int) -> None:
        """Give bytes back."""
        self.held -= count
        assert self.held >= 0, "more bytes released than were taken"
        self._grant()

    def _grant(self) -> None:
        while self._waiters and self._fits(self._waiters[0][0]):
            count, turn = self._waiters.popleft()
            if turn.cancelled():
                continue
            self.held += count
            turn.set_result(None)

    def _fits(self, count: int) -> bool:
        return self.held == 0 or self.held + count <= self._limit
