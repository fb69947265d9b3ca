"""Pages in, results as they finish: batches that follow the queue, and a batch that breaks is taken apart.

A trip to another process costs the same for one page as for sixty-four. So a page that arrives while a worker is idle
goes at once and alone; while all are busy, pages gather, and the next trip takes its share of what waits. Nobody sets a
batch size, only its limits.

A batch can die with its worker, or run into the deadline. Then its pages are sent again, each alone: the innocent ones
come back, and the one that is to blame is `Lost`, with the cause. Who breaks a batch is not known, and somebody may
kill workers by hand: a page has to crash twice alone. A deadline is dear and tells more: once with others and once
alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pipelines.errors import WorkerCrashed
from pipelines.page import Page, Processed

BROKEN_TRIPS = 2  # of which, for a crash, all alone; for a deadline, the last one


class LossCause(StrEnum):
    """Why a page has no result."""

    TIMEOUT = "timeout"
    CRASH = "crash"


class Lost(NamedTuple):
    """A page that killed or hung the worker that ran it alone."""

    cause: LossCause
    detail: str


Result = Processed | Lost
Submit = Callable[[Sequence[Page]], "asyncio.Future[list[Processed]]"]


@dataclass(slots=True, eq=False)
class _Waiting:
    page: Page
    future: asyncio.Future[Result]
    breaks: int = 0
    breaks_alone: int = 0

    def is_lost(self, error: BaseException) -> bool:
        """Whether the page is to blame for the trip it just broke."""
        counted = self.breaks if isinstance(error, TimeoutError) else self.breaks_alone
        return self.breaks_alone > 0 and counted >= BROKEN_TRIPS


class Batcher:
    """Sends pages to an executor in batches and gives each its own result. One event loop; owns no executor."""

    def __init__(
        self,
        submit: Submit,
        *,
        slots: int,
        max_pages: int,
        max_bytes: int,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """`submit` starts one trip; at most `slots` are under way, each with at most `max_pages` and `max_bytes`.

        A single page larger than `max_bytes` travels alone. While `wanted` says no, because whoever takes the results
        has enough of them, no trip starts; call `resume` when it says yes again.
        """
        self._submit = submit
        self._wanted = wanted
        self._slots = slots
        self._max_pages = max_pages
        self._max_bytes = max_bytes
        self._queue: deque[_Waiting] = deque()
        self._alone: deque[_Waiting] = deque()
        self._under_way = 0
        self._pump_due = False
        self.trips = 0
        self.pages = 0

    @property
    def waiting(self) -> int:
        """Pages that have not been sent yet."""
        return len(self._queue) + len(self._alone)

    def process(self, page: Page) -> asyncio.Future[Result]:
        """Return the future result of a page. Cancelling it drops the page if it has not been sent.

        The future raises what the executor raised when that is no fault of a page: PoolBroken, PoolClosed, a bug.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(page, loop.create_future())
        self._queue.append(waiting)
        if not self._pump_due:  # after everything else of this turn of the loop, so that pages of one turn go together
            self._pump_due = True
            loop.call_soon(self._pump)
        return waiting.future

    def resume(self) -> None:
        """Send what waits; needed only after `wanted` has said no."""
        self._pump()

    def _pump(self) -> None:
        self._pump_due = False
        while self._under_way < self._slots and (self._alone or self._queue) and self._wanted():
            batch = [self._alone.popleft()] if self._alone else self._next_batch()
            batch = [waiting for waiting in batch if not waiting.future.done()]
            if batch:
                self._send(batch)

    def _next_batch(self) -> list[_Waiting]:
        share = -(-len(self._queue) // self._slots)  # not all that waits: the last trips of a crawl should end together
        batch = [self._queue.popleft()]
        size = len(batch[0].page.body)
        for _ in range(min(share, self._max_pages) - 1):
            size += len(self._queue[0].page.body)
            if size > self._max_bytes:
                break
            batch.append(self._queue.popleft())
        return batch

    def _send(self, batch: list[_Waiting]) -> None:
        try:
            trip = self._submit([waiting.page for waiting in batch])
        except Exception as error:  # noqa: BLE001 - the executor is closed or broken; whoever waits must hear of it
            for waiting in batch:
                waiting.future.set_exception(error)
            return
        self._under_way += 1
        self.trips += 1
        self.pages += len(batch)
        trip.add_done_callback(lambda done: self._returned(batch, done))

    def _returned(self, batch: list[_Waiting], trip: asyncio.Future[list[Processed]]) -> None:
        self._under_way -= 1
        if trip.cancelled():
            for waiting in batch:
                waiting.future.cancel()
        elif (error := trip.exception()) is None:
            for waiting, result in zip(batch, trip.result(), strict=True):
                if not waiting.future.done():
                    waiting.future.set_result(result)
        else:
            self._broken(batch, error)
        self._pump()

    def _broken(self, batch: list[_Waiting], error: BaseException) -> None:
        for waiting in batch:
            if waiting.future.done():
                continue
            waiting.breaks += 1
            waiting.breaks_alone += len(batch) == 1
            if not _may_be_the_page(error):
                waiting.future.set_exception(error)
            elif waiting.is_lost(error):
                cause = LossCause.TIMEOUT if isinstance(error, TimeoutError) else LossCause.CRASH
                waiting.future.set_result(Lost(cause, str(error)))
            else:
                self._alone.append(waiting)


def _may_be_the_page(error: BaseException) -> bool:
    """Tell a trip that a page may have broken from an executor that is gone or a function that raises."""
    return isinstance(error, WorkerCrashed | TimeoutError)  # TaskTimeout is a TimeoutError


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
