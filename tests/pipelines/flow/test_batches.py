"""The core of all batching, on a fake executor: cut trips, halves, who is to blame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import PoolBroken, TaskTimeout, WorkerCrashed
from pipelines.flow.batches import Batches, Entry, halves, singly


class Numbered(Entry):
    __slots__ = ("number",)

    def __init__(self, number: int, size: int = 1) -> None:
        super().__init__(size)
        self.number = number


class Ledger:
    """An owner that writes down what it is told."""

    def __init__(self, breaks: int = 1) -> None:
        self.results: dict[int, int] = {}
        self.culprits: dict[int, BaseException] = {}
        self.errors: dict[int, BaseException] = {}
        self.unwanted: set[int] = set()
        self._breaks = breaks

    def is_wanted(self, entry: Numbered) -> bool:
        return entry.number not in self.unwanted

    def is_to_blame(self, entry: Numbered, error: BaseException) -> bool:
        return entry.breaks >= self._breaks

    def returned(self, entry: Numbered, result: int) -> None:
        assert entry.number not in self.results, "told twice"
        self.results[entry.number] = result

    def lost(self, entry: Numbered, error: BaseException) -> None:
        self.culprits[entry.number] = error

    def failed(self, entry: Numbered, error: BaseException) -> None:
        self.errors[entry.number] = error


class Executor:
    """Answers each trip a turn later with what `work` makes of it."""

    def __init__(self, work: Callable[[list[int]], list[int] | BaseException]) -> None:
        self.trips: list[list[int]] = []
        self._work = work

    def submit(self, batch: list[Numbered]) -> asyncio.Future[list[int]]:
        numbers = [entry.number for entry in batch]
        self.trips.append(numbers)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[int]] = loop.create_future()
        answer = self._work(numbers)
        if isinstance(answer, BaseException):
            loop.call_soon(future.set_exception, answer)
        else:
            loop.call_soon(future.set_result, answer)
        return future


def batches_of(
    ledger: Ledger,
    executor: Executor,
    *,
    slots: int = 1,
    max_items: int = 64,
    split: Callable[[list[Numbered]], list[list[Numbered]]] = halves,
) -> Batches[Numbered, int]:
    return Batches(
        ledger, executor.submit, slots=slots, max_items=max_items, max_bytes=1000, split=split, wanted=lambda: True
    )


async def settled(batches: Batches[Numbered, int], turns: int = 2000) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
        if not batches.waiting and not batches.under_way:
            return
    raise AssertionError("it never ends")


def squares(numbers: list[int]) -> list[int]:
    return [number * number for number in numbers]


def breaks_with(culprits: set[int], error: BaseException) -> Callable[[list[int]], list[int] | BaseException]:
    return lambda numbers: error if culprits & set(numbers) else squares(numbers)


@pytest.mark.parametrize("error", [WorkerCrashed("signal 11"), TaskTimeout("1 s")])
async def test_halves_find_a_culprit_in_log2_broken_trips(error: BaseException) -> None:
    ledger = Ledger()
    executor = Executor(breaks_with({37}, error))
    batches = batches_of(ledger, executor)
    for number in range(64):
        batches.put(Numbered(number))
    await settled(batches)
    assert ledger.culprits == {37: error}
    assert ledger.results == {number: number**2 for number in range(64) if number != 37}
    assert sum(37 in trip for trip in executor.trips) == 1 + log2(64)
    assert len(executor.trips) == 1 + 2 * log2(64)


@given(st.integers(1, 60), st.sets(st.integers(0, 59)), st.integers(1, 4), st.booleans())
def test_whoever_breaks_is_lost_and_nobody_else(count: int, culprits: set[int], slots: int, alone: bool) -> None:
    async def scenario() -> None:
        ledger = Ledger(breaks=2)
        executor = Executor(breaks_with(culprits, WorkerCrashed("dead")))
        batches = batches_of(ledger, executor, slots=slots, split=singly if alone else halves)
        for number in range(count):
            batches.put(Numbered(number))
        await settled(batches)
        assert set(ledger.culprits) == {number for number in culprits if number < count}
        assert set(ledger.results) == set(range(count)) - culprits

    asyncio.run(scenario())


async def test_the_rest_of_a_trip_that_was_cut_short_goes_first() -> None:
    ledger = Ledger()
    executor = Executor(lambda numbers: squares(numbers[:2]))
    batches = batches_of(ledger, executor, max_items=5)
    for number in range(7):
        batches.put(Numbered(number))
    await settled(batches)
    assert executor.trips == [[0, 1, 2, 3, 4], [2, 3, 4, 5, 6], [4, 5, 6], [6]]
    assert ledger.results == {number: number**2 for number in range(7)}


async def test_an_error_that_is_nobodys_fault_is_told_to_all_at_once() -> None:
    ledger = Ledger()
    error = PoolBroken("no workers")
    executor = Executor(lambda _numbers: error)
    batches = batches_of(ledger, executor)
    for number in range(3):
        batches.put(Numbered(number))
    await settled(batches)
    assert ledger.errors == dict.fromkeys(range(3), error)
    assert len(executor.trips) == 1


async def test_what_nobody_wants_is_neither_sent_nor_sent_again() -> None:
    ledger = Ledger()
    executor = Executor(breaks_with({1, 2}, WorkerCrashed("dead")))
    batches = batches_of(ledger, executor)
    ledger.unwanted = {0}
    for number in range(4):
        batches.put(Numbered(number))
    await asyncio.sleep(0)
    assert executor.trips == [[1, 2, 3]]
    ledger.unwanted = {1, 2, 3}
    await settled(batches)
    assert executor.trips == [[1, 2, 3]]
    assert ledger.culprits == {}


async def test_what_is_cleared_is_not_sent() -> None:
    ledger = Ledger()
    executor = Executor(squares)
    batches = batches_of(ledger, executor, max_items=1)
    for number in range(3):
        batches.put(Numbered(number))
    await asyncio.sleep(0)
    assert batches.waiting == 2
    batches.clear()
    await settled(batches)
    assert executor.trips == [[0]]
    assert ledger.results == {0: 0}
