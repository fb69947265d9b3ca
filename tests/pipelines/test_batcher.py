"""Batches of pages follow the queue, and a broken batch is taken apart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.batcher import Batcher, LossCause, Lost
from pipelines.errors import PoolBroken, TaskTimeout, WorkerCrashed, WorkerOutOfMemory
from pipelines.page import Page, Processed
from pipelines.work import Address, Slate


def a_page(number: int, size: int = 10) -> Page:
    return Page(number, f"http://a.test/{number}", 200, (), b"x" * size, "2026-01-01T00:00:00Z")


def result_of(page: Page) -> Processed:
    return Processed(page.id, b"{}", 0, b"", b"")


class Executor:
    """Takes batches and lets the test answer them, in any order."""

    def __init__(self) -> None:
        self.trips: list[tuple[list[int], asyncio.Future[list[Processed]]]] = []
        self.pages: dict[int, Page] = {}
        self.slates: list[Address | None] = []

    def submit(self, pages: Sequence[Page], slate: Address | None = None, /) -> asyncio.Future[list[Processed]]:
        future: asyncio.Future[list[Processed]] = asyncio.get_running_loop().create_future()
        self.trips.append(([page.id for page in pages], future))
        self.pages.update((page.id, page) for page in pages)
        self.slates.append(slate)
        return future

    @property
    def open(self) -> list[list[int]]:
        return [ids for ids, future in self.trips if not future.done()]

    def answer(self, trip: int) -> None:
        ids, future = self.trips[trip]
        future.set_result([result_of(self.pages[number]) for number in ids])

    def fail(self, trip: int, error: BaseException) -> None:
        self.trips[trip][1].set_exception(error)


def write(slate: Address | None, stage: str) -> None:
    """Do what a worker does."""
    assert slate is not None
    Path(slate.path).write_bytes(stage.encode())


def is_there(slate: Address | None) -> bool:
    assert slate is not None
    path = Path(slate.path)
    return path.is_symlink() and slate.name in str(path.readlink())


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_page_alone_goes_at_once() -> None:
    executor = Executor()
    batcher = Batcher(executor.submit, slots=2, max_pages=64, max_bytes=1000)
    future = batcher.process(a_page(1))
    await turns()
    assert executor.open == [[1]]
    executor.answer(0)
    await turns()
    assert future.result() == result_of(a_page(1))


async def test_no_trip_starts_while_nobody_wants_results() -> None:
    executor = Executor()
    wanted = False
    batcher = Batcher(executor.submit, slots=2, max_pages=64, max_bytes=10_000, wanted=lambda: wanted)
    futures = [batcher.process(a_page(number)) for number in (1, 2)]
    await turns()
    assert (executor.open, batcher.waiting) == ([], 2)
    wanted = True
    batcher.resume()
    assert executor.open == [[1], [2]]
    wanted = False
    batcher.process(a_page(3))
    executor.answer(0)
    await turns()
    assert futures[0].done()
    assert executor.open == [[2]], "a trip that returns starts no other"


async def test_pages_gather_while_all_slots_are_busy_and_share_the_next_trips() -> None:
    executor = Executor()
    batcher = Batcher(executor.submit, slots=2, max_pages=64, max_bytes=10_000)
    batcher.process(a_page(1))
    batcher.process(a_page(2))
    await turns()
    assert executor.open == [[1], [2]]
    for number in range(3, 11):
        batcher.process(a_page(number))
    await turns()
    assert len(executor.open) == 2
    assert batcher.waiting == 8
    executor.answer(0)
    await turns()
    assert executor.open == [[2], [3, 4, 5, 6]]  # its share of what waits; the rest is for the other slot
    assert batcher.waiting == 4


async def test_no_trip_is_larger_than_its_limits_but_a_large_page_travels_alone() -> None:
    executor = Executor()
    batcher = Batcher(executor.submit, slots=1, max_pages=3, max_bytes=100)
    pages = [a_page(1, 40), a_page(2, 40), a_page(3, 40), a_page(4, 500), *(a_page(n, 1) for n in range(5, 10))]
    for page in pages:
        batcher.process(page)
    for trip in range(5):
        await turns()
        executor.answer(trip)
    await turns()
    assert [ids for ids, _ in executor.trips] == [[1, 2], [3], [4], [5, 6, 7], [8, 9]]


@pytest.mark.parametrize(
    ("error", "cause"),
    [(TaskTimeout("10 s"), LossCause.TIMEOUT), (WorkerOutOfMemory("10 GB"), LossCause.MEMORY)],
    ids=["hangs", "takes memory"],
)
async def test_a_batch_that_broke_dearly_is_taken_apart_and_who_breaks_alone_too_is_lost(
    error: Exception, cause: LossCause
) -> None:
    executor = Executor()
    batcher = Batcher(executor.submit, slots=1, max_pages=8, max_bytes=1000)
    futures = {number: batcher.process(a_page(number)) for number in (1, 2, 3)}
    await turns()
    executor.fail(0, error)
    await turns()
    executor.answer(1)
    await turns()
    executor.fail(2, error)
    await turns()
    executor.answer(3)
    await turns()
    assert [ids for ids, _ in executor.trips] == [[1, 2, 3], [1], [2], [3]]
    assert futures[1].result() == result_of(a_page(1))
    assert futures[2].result() == Lost(cause, str(error))
    assert futures[3].result() == result_of(a_page(3))


async def test_a_page_has_to_crash_twice_alone() -> None:
    """Whoever kills workers by hand hits pages at random: the same one, alone, and twice, is the page's own doing."""
    executor = Executor()
    batcher = Batcher(executor.submit, slots=1, max_pages=8, max_bytes=1000)
    futures = {number: batcher.process(a_page(number)) for number in (1, 2)}
    await turns()
    error = WorkerCrashed("signal 11")
    executor.fail(0, error)
    await turns()
    executor.answer(1)
    await turns()
    executor.fail(2, error)
    await turns()
    executor.fail(3, error)
    await turns()
    assert [ids for ids, _ in executor.trips] == [[1, 2], [1], [2], [2]]
    assert futures[1].result() == result_of(a_page(1))
    assert futures[2].result() == Lost(LossCause.CRASH, "signal 11")


async def test_a_page_under_suspicion_gets_a_slate_on_which_its_stage_is_read_after_the_death() -> None:
    executor = Executor()
    batcher = Batcher(executor.submit, slots=1, max_pages=8, max_bytes=1000)
    futures = {number: batcher.process(a_page(number)) for number in (1, 2)}
    await turns()
    executor.fail(0, TaskTimeout("10 s"))
    await turns()
    executor.answer(1)
    await turns()
    write(executor.slates[2], "shop:price")
    error = WorkerCrashed("signal 11")
    error.add_note("the worker's last output:\nSegmentation fault")
    executor.fail(2, error)
    await turns()
    assert not is_there(executor.slates[2]), "its descriptor is returned"
    assert not futures[2].done(), "a crash alone was the first"
    write(executor.slates[3], "shop:weight")
    executor.fail(3, error)
    await turns()
    lost = futures[2].result()
    assert lost == Lost(LossCause.CRASH, "signal 11", "shop:weight", "the worker's last output:\nSegmentation fault")
    assert lost.told == "signal 11; stage: shop:weight"
    assert [slate is None for slate in executor.slates] == [True, False, False, False], "nothing for a first try"
    assert not is_there(executor.slates[3])


async def test_a_trip_that_cannot_start_leaves_no_slate(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Slate] = []

    class Counted(Slate):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    monkeypatch.setattr("pipelines.batcher.Slate", Counted)  # the only way to see one that was never handed over
    executor = Executor()
    batcher = Batcher(executor.submit, slots=1, max_pages=8, max_bytes=1000)
    future = batcher.process(a_page(1))
    await turns()

    def refuse(*_: object) -> asyncio.Future[list[Processed]]:
        raise PoolBroken("closed")

    monkeypatch.setattr(batcher, "_submit", refuse)  # an executor that is closed between two trips
    executor.fail(0, WorkerCrashed("signal 9"))
    await turns()
    with pytest.raises(PoolBroken):
        await future
    assert [is_there(slate.address) for slate in made] == [False]


async def test_a_page_that_broke_its_only_trip_gets_a_second_one() -> None:
    """A worker may be killed by somebody else."""
    executor = Executor()
    batcher = Batcher(executor.submit, slots=1, max_pages=8, max_bytes=1000)
    future = batcher.process(a_page(1))
    await turns()
    executor.fail(0, WorkerCrashed("signal 9"))
    await turns()
    executor.answer(1)
    await turns()
    assert future.result() == result_of(a_page(1))


async def test_an_executor_that_is_gone_is_no_fault_of_a_page() -> None:
    executor = Executor()
    batcher = Batcher(executor.submit, slots=1, max_pages=8, max_bytes=1000)
    future = batcher.process(a_page(1))
    await turns()
    executor.fail(0, PoolBroken("workers do not start"))
    with pytest.raises(PoolBroken):
        await future


async def test_a_trip_that_is_cancelled_cancels_its_pages() -> None:
    executor = Executor()
    batcher = Batcher(executor.submit, slots=1, max_pages=8, max_bytes=1000)
    future = batcher.process(a_page(1))
    await turns()
    executor.trips[0][1].cancel()
    await turns()
    assert future.cancelled()


async def test_trips_and_pages_are_counted() -> None:
    executor = Executor()
    batcher = Batcher(executor.submit, slots=1, max_pages=8, max_bytes=1000)
    for number in (1, 2):
        batcher.process(a_page(number))
    await turns()
    executor.fail(0, WorkerCrashed("signal 9"))
    await turns()
    assert (batcher.trips, batcher.pages) == (2, 3)


async def test_a_page_that_nobody_waits_for_is_not_sent() -> None:
    executor = Executor()
    batcher = Batcher(executor.submit, slots=1, max_pages=1, max_bytes=1000)
    batcher.process(a_page(1))
    unwanted = batcher.process(a_page(2))
    batcher.process(a_page(3))
    await turns()
    unwanted.cancel()
    executor.answer(0)
    await turns()
    assert [ids for ids, _ in executor.trips] == [[1], [3]]
