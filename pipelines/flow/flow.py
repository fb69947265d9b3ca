"""The inside of a stream: reads the source, sends batches, hands out results, and holds no more than it may.

Between the source and whoever iterates there are at most `max_items` and `max_bytes`: half of the bytes for items that
wait for a worker, half for results that wait to be taken. A trip starts only when the results it may bring have room,
and a worker cuts short a trip that brings more. In order, the results that wait for an earlier one count the same.

How many items travel together follows from how long they take (`Pace`) and how many wait (batches.py). A batch that
kills its worker, or runs over the deadline, is sent again in halves until the culprit is alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable
from concurrent.futures import Future
from functools import partial
from time import monotonic
from typing import Any, Generic, TypeVar, cast

from pipelines.errors import PoolClosed, TaskNotPicklable
from pipelines.flow.batches import Batches, halves
from pipelines.flow.ending import ended, stop
from pipelines.flow.place import Submits, check_deadline, packed_function, workers_of
from pipelines.flow.result import ITEM_OVERHEAD, AsFinished, InOrder, Item, Result
from pipelines.flow.trip import Answer, Answers, packed, run_items, size_of, unpacked
from pipelines.pool.names import name_of
from pipelines.pool.remote import Failure, unpack

T = TypeVar("T")
R = TypeVar("R")

TURN_SECONDS = 0.002
"""How long items are read, or results handed out, without a pause before the event loop gets a turn."""
LANDING_SECONDS = 0.2
"""What trips under way at the end of a stream get on top of the time after which a worker cuts them short."""
CRASHES = 2
"""Trips an item must break to be blamed for a crash: somebody else may kill a worker, or fill the machine's memory."""


OnDone = Callable[[int, Result[T, R]], object]
Source = Iterable[T] | AsyncIterable[T]


class Pace:
    """How many items a trip should take to last about `target` seconds, from how long the last ones took."""

    def __init__(self, target: float, most: int) -> None:
        self.target = target
        self.items = 1
        self._most = most
        self._seconds: float | None = None  # per item

    def ran(self, count: int, seconds: float) -> None:
        """Learn from a trip. More only in steps, because the first items also pay for imports."""
        latest = max(seconds / count, 1e-9)
        self._seconds = latest if self._seconds is None else 0.7 * self._seconds + 0.3 * latest
        self.items = max(1, min(self._most, 4 * self.items, int(self.target / self._seconds)))


class Flow(Generic[T, R]):
    """One stream. One event loop; `run` once. See `pipelines.stream.stream` for what the arguments mean."""

    def __init__(
        self,
        func: Callable[[T], R],
        pool: Submits,
        *,
        pace: Pace,
        ordered: bool,
        max_items: int,
        max_bytes: int,
        deadline: float | None,
        on_done: OnDone[T, R] | None,
        return_errors: bool,
    ) -> None:
        check_deadline(pool, deadline)
        self._name = name_of(func)
        self._function = packed_function(func, pool)
        self._pool = pool
        self._pace = pace
        self._order: AsFinished | InOrder = InOrder() if ordered else AsFinished()
        self._max_items, self._half = max_items, max(1, max_bytes // 2)
        self._deadline, self._on_done, self._return_errors = deadline, on_done, return_errors
        slots = 2 * workers_of(pool)  # one trip runs, one waits behind it
        self._trip_bytes = max(1, self._half // (2 * slots))  # all may start while results fill no more than half
        self._batches: Batches[Item, Answer] = Batches(
            self,
            self._submit,
            slots=slots,
            max_items=1,
            max_bytes=self._trip_bytes,
            split=halves,
            wanted=self._has_room_for_results,
        )
        self._running: set[Future[Answers]] = set()
        self._count = self._items = self._results = 0  # entries not handed out, and the bytes of both kinds
        self._next_size = 0  # of the item that waits to be admitted
        self._wants_room: asyncio.Future[None] | None = None  # the reader waits
        self._wants_result: asyncio.Future[None] | None = None  # whoever iterates waits
        self._landed: asyncio.Future[None] | None = None  # the last trip is back, after the end
        self._is_held_back = False  # no trip starts before results are taken
        self._is_read = self._is_closed = False
        self._error: BaseException | None = None  # ends the stream now
        self._source_error: Exception | None = None  # ends it after what came before

    async def run(self, source: Source[T]) -> AsyncGenerator[Any, None]:
        """Yield the results."""
        self._loop = asyncio.get_running_loop()
        reader = self._loop.create_task(self._read(source), name=f"source of a stream of {self._name}")
        turn = monotonic() + TURN_SECONDS
        try:
            while True:
                while self._order:
                    yield self._handed_out(self._order.take())
                    if monotonic() > turn:
                        await asyncio.sleep(0)
                        turn = monotonic() + TURN_SECONDS
                if self._error is not None:
                    raise self._error
                if self._is_read and not self._count:
                    break
                self._wants_result = self._loop.create_future()
                await self._wants_result
            if self._source_error is not None:
                raise self._source_error
        finally:
            self._is_closed = True
            self._batches.clear()
            reader.cancel()
            try:
                await self._stop()
            finally:
                await ended(reader)

    # -- from the source

    async def _read(self, source: Source[T]) -> None:
        try:
            if isinstance(source, AsyncIterable):
                await self._read_async(source)
            else:
                await self._read_sync(source)
        except Exception as exc:
            if self._is_closed:  # while it was being closed: then it ends the closing
                raise
            self._source_error = exc
        finally:
            self._is_read = True
            self._wake()

    async def _read_sync(self, source: Iterable[T]) -> None:
        iterator = iter(source)
        turn = monotonic() + TURN_SECONDS
        try:
            for index, item in enumerate(iterator):
                entry = self._entry(index, item)
                if not self._fits(entry.size):
                    await self._room(entry.size)
                self._admit(entry)
                if monotonic() > turn:
                    await asyncio.sleep(0)
                    turn = monotonic() + TURN_SECONDS
        finally:
            if isinstance(iterator, Generator):
                iterator.close()

    async def _read_async(self, source: AsyncIterable[T]) -> None:
        iterator = aiter(source)
        index = 0
        try:
            async for item in iterator:
                entry = self._entry(index, item)
                index += 1
                if not self._fits(entry.size):
                    await self._room(entry.size)
                self._admit(entry)
        finally:
            if (aclose := getattr(iterator, "aclose", None)) is not None:
                await aclose()

    def _entry(self, index: int, item: T) -> Item:
        is_kept = self._return_errors or self._on_done is not None
        entry = Item(index, item if is_kept else None)
        try:
            entry.packed = form = packed(item)
        except Exception as exc:  # noqa: BLE001 - pickling runs the user's code; the item is refused
            error = TaskNotPicklable(f"the item, a {type(item).__name__}, cannot be sent to a worker: {exc}")
            error.__cause__ = exc
            entry.answer = error
        else:
            entry.size += size_of(form)
        return entry

    def _fits(self, size: int) -> bool:
        return self._count < self._max_items and (not self._items or self._items + size <= self._half)

    async def _room(self, size: int) -> None:
        self._next_size = size
        self._wants_room = self._loop.create_future()
        try:
            await self._wants_room
        finally:
            self._wants_room = None

    def _give_room(self) -> None:
        """Let the reader go on once a quarter is free: to wake it for every single item costs more than the item."""
        is_low = 4 * self._count <= 3 * self._max_items and 4 * self._items <= 3 * self._half
        if is_low and self._fits(self._next_size) and self._wants_room is not None and not self._wants_room.done():
            self._wants_room.set_result(None)

    def _admit(self, entry: Item) -> None:
        self._count += 1
        if isinstance(entry.answer, BaseException):
            self._settle(entry, entry.answer, 0)
        else:
            self._items += entry.size
            self._batches.put(entry)

    # -- to the workers and back; is_wanted to failed are what Batches asks of its owner

    def _has_room_for_results(self) -> bool:
        under_way = self._batches.under_way
        is_room = self._results + (under_way + 1) * self._trip_bytes <= self._half
        if not is_room and not under_way and not self._order:
            is_room = True  # the one that all the others wait for is still to be run
        self._is_held_back = not is_room
        return is_room

    def _submit(self, batch: list[Item]) -> asyncio.Future[list[Answer]]:
        trip: asyncio.Future[list[Answer]] = self._loop.create_future()
        cut = 2 * self._pace.target
        options: dict[str, float] = {}
        if self._deadline is not None:  # the last item of several may start just before the trip is cut short
            options = {"deadline": self._deadline + (cut if len(batch) > 1 else 0.0)}
        items = [entry.packed for entry in batch]
        future = self._pool.submit(run_items, self._function, items, cut, self._trip_bytes, **options)
        self._running.add(future)
        future.add_done_callback(partial(self._came_back, trip))
        return trip

    def _came_back(self, trip: asyncio.Future[list[Answer]], future: Future[Answers]) -> None:
        """Called in the pool's thread."""
        try:
            self._loop.call_soon_threadsafe(self._land, trip, future)
        except RuntimeError:
            pass  # the loop is closed, and with it the stream

    def _land(self, trip: asyncio.Future[list[Answer]], future: Future[Answers]) -> None:
        self._running.discard(future)
        if self._is_closed:
            if self._landed is not None and not self._running and not self._landed.done():
                self._landed.set_result(None)
            return
        if future.cancelled():
            trip.cancel()
        elif (error := future.exception()) is not None:
            trip.set_exception(error)
        else:
            seconds, answers = future.result()
            self._pace.ran(len(answers), seconds)
            self._batches.max_items = self._pace.items
            trip.set_result(answers)

    def is_wanted(self, entry: Item) -> bool:
        return not self._is_closed

    def is_to_blame(self, entry: Item, error: BaseException) -> bool:
        return isinstance(error, TimeoutError) or entry.breaks >= CRASHES

    def returned(self, entry: Item, result: Answer) -> None:
        self._items -= entry.size
        self._settle(entry, result, size_of(result))

    def lost(self, entry: Item, error: BaseException) -> None:
        self._items -= entry.size
        self._settle(entry, error, 0)

    def failed(self, entry: Item, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError):
            error = PoolClosed(f"the pool gave up a batch of the stream of {self._name}")
        self._fail(error)

    # -- to whoever iterates

    def _settle(self, entry: Item, answer: Answer | BaseException, size: int) -> None:
        entry.packed = b""
        entry.answer = answer
        entry.size = ITEM_OVERHEAD + size
        self._results += entry.size
        if self._on_done is not None:
            entry.answer = result = self._result(entry)
            try:
                self._on_done(entry.index, result)
            except Exception as exc:  # noqa: BLE001 - the caller's function; the stream ends with what it raised
                self._fail(exc)
        self._order.put(entry)
        if self._wants_result is not None and self._order:
            self._wake()
        if self._wants_room is not None:
            self._give_room()

    def _handed_out(self, entry: Item) -> Any:
        self._count -= 1
        self._results -= entry.size
        if self._is_held_back and self._has_room_for_results():
            self._batches.pump()
        if self._wants_room is not None:
            self._give_room()
        if self._return_errors:
            return self._result(entry)
        value, error = self._loaded(entry)
        if error is not None:
            raise error
        return value

    def _result(self, entry: Item) -> Result[T, R]:
        if isinstance(entry.answer, Result):
            return entry.answer
        value, error = self._loaded(entry)
        return Result(entry.index, cast("T", entry.item), value, error)

    def _loaded(self, entry: Item) -> tuple[R | None, BaseException | None]:
        answer = entry.answer
        error: BaseException
        match answer:
            case Result():
                return answer.value, answer.error
            case Failure():
                error = unpack(answer)
            case BaseException():
                error = answer
            case _:
                try:
                    return unpacked(answer), None
                except Exception as exc:  # noqa: BLE001 - loading runs the user's code
                    error = TaskNotPicklable(f"{self._name}: its result cannot be loaded here: {exc}")
                    error.__cause__ = exc
        error.add_note(f"item {entry.index} (from 0) of a stream of {self._name}")
        return None, error

    def _wake(self) -> None:
        if self._wants_result is not None and not self._wants_result.done():
            self._wants_result.set_result(None)

    # -- the end

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
        self._batches.clear()
        self._wake()

    async def _stop(self) -> None:
        """Let trips land that are about to, and stop the others: a killed worker takes its warm start with it."""
        flying = [future for future in self._running if not future.cancel()]
        if not flying:
            return
        self._landed = self._loop.create_future()
        try:
            await asyncio.wait([self._landed], timeout=2 * self._pace.target + LANDING_SECONDS)
        finally:
            for future in flying:
                stop(future)
