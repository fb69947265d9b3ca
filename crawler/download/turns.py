"""Small work for the disk, in as few trips to a thread as there is need for.

A trip costs more than the work of a small file: two threads that hand over the interpreter's lock. What is asked for
while a trip is under way goes together in the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from pipelines.cpu import run_blocking

T = TypeVar("T")
R = TypeVar("R")

TRIPS = 2
"""At once: while one waits for the disk, another one may go."""


class Turns(Generic[T, R]):
    """Runs `function` on batches of items in a thread. It returns a result, or an exception to raise, for each item."""

    def __init__(self, function: Callable[[Sequence[T]], Sequence[R | BaseException]], most: int) -> None:
        """`most`: items in one batch."""
        self._function = function
        self._most = most
        self._queue: list[tuple[T, asyncio.Future[R]]] = []
        self._trips: set[asyncio.Task[None]] = set()

    async def run(self, item: T) -> R:
        """Return what the function returned for `item`, or raise it. Not cancelled half-way: wait for the end of it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._queue.append((item, future))
        if len(self._trips) < TRIPS:
            trip = loop.create_task(self._trip())
            self._trips.add(trip)
            trip.add_done_callback(self._trips.discard)
        return await future

    async def _trip(self) -> None:
        while self._queue:
            batch, self._queue = self._queue[: self._most], self._queue[self._most :]
            try:
                results = await run_blocking(self._function, [item for item, _ in batch])
            except Exception as error:  # noqa: BLE001 - a bug in the function is told to all who wait for it
                results = [error] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, BaseException):
                    future.set_exception(result)
                else:
                    future.set_result(result)
