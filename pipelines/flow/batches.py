"""The core of every stream of batches: they follow the queue, and one that breaks is taken apart.

A trip to another process costs the same for one item as for sixty-four. So an item that arrives while a worker is idle
goes at once and alone; while all are busy, items gather, and the next trip takes its share of what waits. Nobody sets a
batch size, only its limits.

A batch can die with its worker, or run into the deadline, and which item did it is not known. So its items are sent
again, in smaller groups, until the one that is to blame is alone: it is lost, and the innocent ones come back. An item
may therefore run more than once.

What an item is, how a batch gets to a worker and who is told is the owner's business; see batcher.py and stream.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from pipelines.errors import WorkerCrashed


class Entry:
    """One item on its way; owners derive from it and add what they need."""

    __slots__ = ("breaks", "breaks_alone", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        """Bytes, for the limit of a trip."""
        self.breaks = 0
        """Trips that broke with it on board."""
        self.breaks_alone = 0
        """Of these, those on which it was alone."""


E = TypeVar("E", bound=Entry)
R = TypeVar("R")
E_contra = TypeVar("E_contra", bound=Entry, contravariant=True)
R_contra = TypeVar("R_contra", contravariant=True)


class Owner(Protocol[E_contra, R_contra]):
    """Whom the results are for. Called on the event loop; none of these may raise or call back into the batches."""

    def is_wanted(self, entry: E_contra) -> bool:
        """Whether anybody still waits for it; what nobody wants is not sent."""

    def is_to_blame(self, entry: E_contra, error: BaseException) -> bool:
        """Whether an entry that has just broken a trip alone is given up; else it is sent again."""

    def returned(self, entry: E_contra, result: R_contra) -> None:
        """Take a result, perhaps of one that nobody wants any more."""

    def lost(self, entry: E_contra, error: BaseException) -> None:
        """Take the cause: this one is to blame for `error`."""

    def failed(self, entry: E_contra, error: BaseException) -> None:
        """Take an error that is no fault of the entry: the executor is gone, there is a bug; or the trip was cancelled.

        A cancelled trip is told by an `asyncio.CancelledError`.
        """


class Batches(Generic[E, R]):
    """Sends entries in batches, each trip a call of `submit`. One event loop; owns no executor.

    At most `slots` trips are under way, each with at most `max_items` and `max_bytes`; an entry larger than `max_bytes`
    travels alone. A trip that returns fewer results than it had entries was cut short: the rest goes to the front of
    the queue. While `wanted` says no, no trip starts; call `pump` when it says yes again.
    """

    def __init__(
        self,
        owner: Owner[E, R],
        submit: Callable[[list[E]], asyncio.Future[list[R]]],
        *,
        slots: int,
        max_items: int,
        max_bytes: int,
        split: Callable[[list[E]], list[list[E]]],
        wanted: Callable[[], bool],
    ) -> None:
        """`split` takes a batch of several that broke and returns the smaller ones that are sent in its place."""
        self.max_items = max_items
        """May be changed at any time."""
        self._owner = owner
        self._submit = submit
        self._slots = slots
        self._max_bytes = max_bytes
        self._split = split
        self._wanted = wanted
        self._queue: deque[E] = deque()
        self._again: deque[list[E]] = deque()  # parts of batches that broke
        self._pump_due = False
        self.under_way = 0
        """Trips that have not returned."""
        self.trips = 0
        self.sent = 0
        """Entries of all trips."""

    @property
    def waiting(self) -> int:
        """Entries that have not been sent yet, or must be sent again."""
        return len(self._queue) + sum(map(len, self._again))

    def put(self, entry: E) -> None:
        """Take an entry; sent once this turn of the loop is over, so that those of one turn go together."""
        self._queue.append(entry)
        if not self._pump_due:
            self._pump_due = True
            asyncio.get_running_loop().call_soon(self.pump)

    def clear(self) -> None:
        """Forget what waits; trips under way still return."""
        self._queue.clear()
        self._again.clear()

    def pump(self) -> None:
        """Send what waits, as far as there are slots; needed only after `wanted` has said no."""
        self._pump_due = False
        is_wanted = self._owner.is_wanted
        while self.under_way < self._slots and (self._again or self._queue) and self._wanted():
            batch = self._again.popleft() if self._again else self._next_batch()
            batch = [entry for entry in batch if is_wanted(entry)]
            if batch:
                self._send(batch)

    def _next_batch(self) -> list[E]:
        queue = self._queue
        share = -(-len(queue) // self._slots)  # not all that waits: the last trips should end together
        batch = [queue.popleft()]
        size = batch[0].size
        for _ in range(min(share, self.max_items) - 1):
            size += queue[0].size
            if size > self._max_bytes:
                break
            batch.append(queue.popleft())
        return batch

    def _send(self, batch: list[E]) -> None:
        try:
            trip = self._submit(batch)
        except Exception as error:  # noqa: BLE001 - the executor is closed or broken; whoever waits must hear of it
            for entry in batch:
                self._owner.failed(entry, error)
            return
        self.under_way += 1
        self.trips += 1
        self.sent += len(batch)
        trip.add_done_callback(lambda done: self._returned(batch, done))

    def _returned(self, batch: list[E], trip: asyncio.Future[list[R]]) -> None:
        self.under_way -= 1
        if trip.cancelled():
            self._fail(batch, asyncio.CancelledError())
        elif (error := trip.exception()) is None:
            results = trip.result()
            self._cut(batch, len(results))
            returned = self._owner.returned
            for entry, result in zip(batch, results, strict=True):
                returned(entry, result)
        elif may_be_an_item(error):
            self._broken(batch, error)
        else:
            self._fail(batch, error)
        self.pump()

    def _cut(self, batch: list[E], count: int) -> None:
        if count < len(batch):
            assert count > 0, "a trip that returns does at least one item"
            self._queue.extendleft(reversed(batch[count:]))
            del batch[count:]

    def _broken(self, batch: list[E], error: BaseException) -> None:
        is_alone = len(batch) == 1
        for entry in batch:
            entry.breaks += 1
            entry.breaks_alone += is_alone
        batch = [entry for entry in batch if self._owner.is_wanted(entry)]
        if not is_alone:
            self._again.extend(self._split(batch))
        elif batch and self._owner.is_to_blame(batch[0], error):
            self._owner.lost(batch[0], error)
        elif batch:
            self._again.append(batch)

    def _fail(self, batch: list[E], error: BaseException) -> None:
        for entry in batch:
            if self._owner.is_wanted(entry):
                self._owner.failed(entry, error)


def may_be_an_item(error: BaseException) -> bool:
    """Tell a trip that an item may have broken from an executor that is gone or a function that raises."""
    return isinstance(error, WorkerCrashed | TimeoutError)  # TaskTimeout is a TimeoutError


def singly(batch: list[E]) -> list[list[E]]:
    """Send each alone: dear for crashes, cheap for deadlines, which all run at the same time."""
    return [[entry] for entry in batch]


def halves(batch: list[E]) -> list[list[E]]:
    """Send two halves: one culprit among n is found after log2(n) broken trips, n - 1 innocent ones stay together."""
    middle = len(batch) // 2
    return [part for part in (batch[:middle], batch[middle:]) if part]
