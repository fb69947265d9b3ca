"""Pages in, results as they finish: the batches of a crawl.

A batch can die with its worker, or run into the deadline. Then its pages are sent again, each alone: the innocent ones
come back, and the one that is to blame is `Lost`, with the cause. Who breaks a batch is not known, and somebody may
kill workers by hand: a page has to crash twice alone. A deadline, or a worker killed for its memory, is dear and tells
more: once with others and once alone. Each alone and not in halves: a page that hangs costs two deadlines, however many
were with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from pipelines.errors import WorkerOutOfMemory
from pipelines.flow.batches import Batches, Entry, singly
from pipelines.page import Page, Processed
from pipelines.work import Address, Slate

BROKEN_TRIPS = 2  # of which, for a crash, all alone; for a deadline or too much memory, the last one


class LossCause(StrEnum):
    """Why a page has no result."""

    TIMEOUT = "timeout"
    CRASH = "crash"
    MEMORY = "memory"


class Lost(NamedTuple):
    """A page that killed or hung the worker that ran it alone."""

    cause: LossCause
    detail: str
    stage: str = ""
    """Where it was then, such as `parse` or `shop:price`; empty when nobody knows."""
    last_words: str = ""
    """What the worker wrote last, with the Python stack of a crash; several lines, or none."""

    @property
    def told(self) -> str:
        """The detail with the stage, on one line."""
        return f"{self.detail}; stage: {self.stage}" if self.stage else self.detail


Result = Processed | Lost


class Submit(Protocol):
    """Starts one trip."""

    def __call__(self, pages: Sequence[Page], slate: Address | None = None, /) -> asyncio.Future[list[Processed]]:
        """Return the results to come. A page that broke a trip comes alone, with a slate for the stage it is at."""


class _Waiting(Entry):
    __slots__ = ("future", "page", "stage")

    def __init__(self, page: Page, future: asyncio.Future[Result]) -> None:
        self.size = len(page.body)
        self.breaks = self.breaks_alone = 0  # not by `super().__init__`: this runs for every page, on the event loop
        self.page = page
        self.future = future
        self.stage = ""


class _Futures:
    """Gives each page its own answer."""

    def is_wanted(self, entry: _Waiting) -> bool:
        return not entry.future.done()

    def is_to_blame(self, entry: _Waiting, error: BaseException) -> bool:
        counted = entry.breaks_alone if _cause(error) is LossCause.CRASH else entry.breaks
        return counted >= BROKEN_TRIPS

    def returned(self, entry: _Waiting, result: Processed) -> None:
        if not entry.future.done():
            entry.future.set_result(result)

    def lost(self, entry: _Waiting, error: BaseException) -> None:
        entry.future.set_result(Lost(_cause(error), str(error), entry.stage, _last_words(error)))

    def failed(self, entry: _Waiting, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError):
            entry.future.cancel()
        else:
            entry.future.set_exception(error)


def _cause(error: BaseException) -> LossCause:
    if isinstance(error, TimeoutError):
        return LossCause.TIMEOUT
    return LossCause.MEMORY if isinstance(error, WorkerOutOfMemory) else LossCause.CRASH


def _last_words(error: BaseException) -> str:
    return "\n".join(getattr(error, "__notes__", ()))


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
        self._batches: Batches[_Waiting, Processed] = Batches(
            _Futures(),
            self._send,
            slots=slots,
            max_items=max_pages,
            max_bytes=max_bytes,
            split=singly,
            wanted=wanted,
        )

    def _send(self, batch: list[_Waiting]) -> asyncio.Future[list[Processed]]:
        pages = [entry.page for entry in batch]
        suspect = batch[0]
        if len(batch) > 1 or not suspect.breaks:
            return self._submit(pages)
        slate = Slate()

        def over(_trip: object) -> None:
            suspect.stage = slate.read()
            slate.close()

        try:
            trip = self._submit(pages, slate.address)
        except BaseException:
            slate.close()
            raise
        trip.add_done_callback(over)  # before whoever asks for the stage adds theirs
        return trip

    @property
    def waiting(self) -> int:
        """Pages that have not been sent yet."""
        return self._batches.waiting

    @property
    def trips(self) -> int:
        """Batches sent so far."""
        return self._batches.trips

    @property
    def pages(self) -> int:
        """Pages sent so far; one that is sent again counts again."""
        return self._batches.sent

    def process(self, page: Page) -> asyncio.Future[Result]:
        """Return the future result of a page. Cancelling it drops the page if it has not been sent.

        The future raises what the executor raised when that is no fault of a page: PoolBroken, PoolClosed, a bug.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._batches.put(_Waiting(page, future))
        return future

    def resume(self) -> None:
        """Send what waits; needed only after `wanted` has said no."""
        self._batches.pump()
