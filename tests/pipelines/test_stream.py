"""Streams: all results, in whichever order was asked for; memory bounded; the guilty item alone pays."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from inspect import signature
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import stream_tasks as tasks
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.backends.foreign import ForeignBackend
from pipelines.backends.inline import InlineBackend
from pipelines.backends.local import LocalBackend
from pipelines.errors import PoolClosed, RemoteError, TaskNotPicklable, TaskTimeout, WorkerCrashed
from pipelines.flow.flow import Pace
from pipelines.flow.result import Result
from pipelines.pool.pool import WorkerPool
from pipelines.pool.stats import Death
from pipelines.stream import Options, stream
from tests.support.leftovers import other_tasks, tasks_end

pytestmark = pytest.mark.usefixtures("leaves_nothing")


class Numbers:
    """A source that knows how far it was read and whether it was closed."""

    def __init__(self, stop: int | None = None) -> None:
        self.read = 0
        self.is_closed = False
        self._stop = stop

    def __iter__(self) -> Iterator[int]:
        return self.numbers()

    def numbers(self) -> Iterator[int]:
        try:
            for number in count():
                if number == self._stop:
                    return
                self.read = number + 1
                yield number
        finally:
            self.is_closed = True

    async def slowly(self) -> AsyncIterator[int]:
        try:
            for number in self.numbers():
                await asyncio.sleep(0)
                yield number
        finally:
            self.is_closed = True


# -- results


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("kind", ["list", "generator", "async"])
async def test_every_item_has_one_result(pool: WorkerPool, kind: str, ordered: bool) -> None:
    numbers = Numbers(500)
    source: Any = {"list": list(range(500)), "generator": numbers.numbers(), "async": numbers.slowly()}[kind]
    results = [value async for value in stream(tasks.square, source, pool=pool, ordered=ordered)]
    assert (results if ordered else sorted(results)) == [number**2 for number in range(500)]
    assert numbers.is_closed or kind == "list"
    assert pool.stats().done < 250, "several items share a trip"


async def test_a_source_without_items(pool: WorkerPool) -> None:
    assert [value async for value in stream(tasks.square, [], pool=pool)] == []


async def test_results_come_as_they_finish(pool: WorkerPool) -> None:
    values = [value async for value in stream(tasks.slow_if_first, range(50), pool=pool)]
    assert values[-1] == 0
    assert sorted(values) == list(range(50))


async def test_in_order_a_slow_item_is_waited_for(pool: WorkerPool) -> None:
    values = [value async for value in stream(tasks.slow_if_first, range(50), pool=pool, ordered=True)]
    assert values == list(range(50))


async def test_an_item_goes_at_once_when_a_worker_is_idle(pool: WorkerPool) -> None:
    """No item waits for others to share its trip."""

    async def one_at_a_time() -> AsyncIterator[int]:
        for number in range(3):
            yield number
            await asyncio.wait_for(done[number].wait(), 5)

    done = [asyncio.Event() for _ in range(3)]
    async for value in stream(lambda_free, one_at_a_time(), pool=InlineBackend()):
        done[value].set()
    assert all(event.is_set() for event in done)


def lambda_free(value: int) -> int:
    return value


@pytest.mark.parametrize("workers", [1, 3])
async def test_the_same_results_for_any_number_of_workers(workers: int) -> None:
    data = [bytes([number % 256]) * number for number in range(300)]
    async with WorkerPool(workers) as pool:
        digests = [value async for value in stream(tasks.digest, data, pool=pool, ordered=True)]
    assert digests == [tasks.digest(item) for item in data]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.binary(max_size=300), max_size=60),
    st.integers(1, 50),
    st.integers(1, 5_000),
    st.integers(1, 20),
    st.booleans(),
)
def test_whatever_the_limits_nothing_is_lost_and_nothing_hangs(
    items: list[bytes], max_items: int, max_bytes: int, batch_items: int, ordered: bool
) -> None:
    async def scenario() -> list[bytes]:
        limits: Any = {"max_items": max_items, "max_bytes": max_bytes, "batch_items": batch_items}
        found = stream(bytes.upper, items, pool=InlineBackend(), ordered=ordered, **limits)
        return [value async for value in found]

    results = asyncio.run(asyncio.wait_for(scenario(), 10))
    expected = [item.upper() for item in items]
    assert (results if ordered else sorted(results)) == (expected if ordered else sorted(expected))


async def test_a_stream_can_be_the_source_of_another(pool: WorkerPool) -> None:
    inner = stream(tasks.square, range(300), pool=pool, ordered=True)
    assert [value async for value in stream(tasks.square, inner, pool=pool, ordered=True)] == [n**4 for n in range(300)]


async def test_the_event_loop_has_its_turns_while_results_are_taken(pool: WorkerPool) -> None:
    """Also by a loop that awaits nothing else, from a source that never waits."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - before)

    watcher = asyncio.create_task(watch())
    async for _ in stream(tasks.inflate, [2000] * 30_000, pool=pool):
        pass
    watcher.cancel()
    assert longest < 0.25  # 0.01 on a machine with nothing else to do


# -- bounds


async def pause(condition: Any = None) -> None:
    """Let a stream go on until it can go no further."""
    await asyncio.sleep(0.4)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("kind", ["generator", "async"])
async def test_an_endless_source_is_read_only_as_far_as_results_are_taken(
    pool: WorkerPool, ordered: bool, kind: str
) -> None:
    numbers = Numbers()
    source: Any = numbers.slowly() if kind == "async" else numbers
    async with aclosing(stream(tasks.square, source, pool=pool, ordered=ordered, max_items=40)) as results:
        await anext(results)
        await pause()
        assert numbers.read <= 1 + 40 + 1
        for _ in range(100):
            await anext(results)
        await pause()
        assert 101 < numbers.read <= 101 + 40 + 1
    assert numbers.is_closed


async def test_items_that_wait_hold_no_more_than_half_of_the_bytes(pool: WorkerPool) -> None:
    read = 0

    def large() -> Iterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 10_000

    async with aclosing(stream(tasks.digest, large(), pool=pool, max_bytes=400_000)) as results:
        await anext(results)
        await pause()
        handed_out = 1
        waiting = 200_000 // 10_000  # items
        finished = 200_000 // 350  # results: 64 digits and what an object costs
        assert read <= handed_out + waiting + finished + 1


async def test_results_that_wait_hold_no_more_than_half_of_the_bytes(pool: WorkerPool) -> None:
    """Small items, large results: what workers make counts, also before it is there."""
    done = 0

    def finished(_index: int, _result: object) -> None:
        nonlocal done
        done += 1

    sizes = (50_000 for _ in count())
    async with aclosing(stream(tasks.inflate, sizes, pool=pool, max_bytes=4_000_000, on_done=finished)) as results:
        for taken in range(1, 100):
            await anext(results)
            if taken % 33 == 0:
                await pause()
            slots = 4
            assert (done - taken) * 50_000 <= 2_000_000 + slots * 50_000


async def test_in_order_results_behind_a_slow_one_stay_within_the_bytes_and_it_still_gets_its_turn() -> None:
    """The item all the others wait for must run although there is no room for results."""
    done: list[int] = []
    async with WorkerPool(1) as pool:
        results = stream(
            tasks.inflate,
            [10] + [30_000] * 50,
            pool=pool,
            ordered=True,
            max_bytes=60_000,
            on_done=lambda index, _result: done.append(index),
        )
        sizes = [len(value) async for value in results]
    assert sizes == [10] + [30_000] * 50
    assert sorted(done) == list(range(51))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


ITEMS = int(os.environ.get("CRAWLMILL_ITEMS", "150000"))


async def test_any_number_of_items_passes_through_a_fixed_number_of_bytes(pool: WorkerPool) -> None:
    """Their results are 150 MB and more; read ahead of a consumer that is slower, they would fill the memory."""
    before = peak = resident_bytes()
    seen = total = 0
    items = (b"%0200d" % number for number in range(ITEMS))
    started = time.monotonic()
    async for value in stream(tasks.thousand, items, pool=pool, max_bytes=16 << 20, max_items=ITEMS):
        seen += 1
        total += len(value)
        if seen % 2000 == 0:
            peak = max(peak, resident_bytes())
    assert (seen, total) == (ITEMS, ITEMS * 1000)
    assert peak - before < 32 << 20
    assert time.monotonic() - started < 30 + 90 * ITEMS / 1_000_000


async def test_an_item_larger_than_everything_is_let_through(pool: WorkerPool) -> None:
    data = [b"x" * 100, b"y" * 3_000_000, b"z" * 100]
    digests = [value async for value in stream(tasks.digest, data, pool=pool, ordered=True, max_bytes=100_000)]
    assert digests == [tasks.digest(item) for item in data]


# -- culprits


async def test_an_item_that_kills_its_worker_is_found_by_halves_and_pays_alone(pool: WorkerPool) -> None:
    items = list(range(600))
    results = [
        result
        async for result in stream(
            tasks.die_at_culprit, items, pool=pool, return_errors=True, ordered=True, batch_items=64
        )
    ]
    assert [result.value for result in results if result.error is None] == [n for n in items if n != tasks.CULPRIT]
    (lost,) = [result for result in results if result.error is not None]
    assert (lost.index, lost.item) == (tasks.CULPRIT, tasks.CULPRIT)
    assert isinstance(lost.error, WorkerCrashed)
    assert "SIGSEGV" in str(lost.error)
    assert lost.error.__notes__[-1] == "item 300 (from 0) of a stream of stream_tasks.die_at_culprit"
    assert 2 <= pool.stats().deaths[Death.CRASH] <= 7, "log2(64) and one"


async def test_many_culprits_are_all_found(pool: WorkerPool) -> None:
    items = list(range(400))
    results = stream(tasks.die_at_every_fiftieth, items, pool=pool, return_errors=True, batch_items=32)
    lost = {result.item async for result in results if result.error is not None}
    assert lost == {number for number in items if number % 50 == 49}


async def test_an_item_that_runs_over_the_deadline_is_found_and_pays_alone() -> None:
    """It holds the GIL in C code: only its death gives the worker back."""
    async with WorkerPool(2, preload=["stream_tasks"]) as pool:  # else a new worker's imports count as well
        results = stream(
            tasks.hang_at_culprit, range(280, 320), pool=pool, return_errors=True, deadline=0.4, batch_items=8
        )
        found = {result.item: result async for result in results}
        assert [item for item, result in found.items() if result.error is not None] == [tasks.CULPRIT]
        assert isinstance(found[tasks.CULPRIT].error, TaskTimeout)
        assert len(found) == 40
        assert 1 <= pool.stats().deaths[Death.TIMEOUT] <= 4


async def test_a_worker_killed_by_somebody_else_costs_no_item(pool: WorkerPool) -> None:
    killed = 0
    values = []
    async for value in stream(tasks.hang_at_culprit, range(250), pool=pool):
        values.append(value)
        if len(values) in (60, 120) and pool.pids:
            os.kill(pool.pids[0], signal.SIGKILL)
            killed += 1
    assert killed == 2
    assert sorted(values) == list(range(250))


# -- errors


async def test_the_first_error_ends_the_stream_and_names_the_item(pool: WorkerPool) -> None:
    numbers = Numbers()
    results = stream(tasks.odd_fails, numbers, pool=pool, ordered=True)
    assert await anext(results) == 0
    with pytest.raises(ValueError, match="1 is odd") as caught:
        await anext(results)
    assert [value async for value in results] == []
    assert "item 1 (from 0)" in caught.value.__notes__[0]
    assert "in odd_fails" in str(caught.value.__cause__)
    assert numbers.is_closed
    assert other_tasks() == set()


async def test_errors_as_values(pool: WorkerPool) -> None:
    results = [
        result async for result in stream(tasks.odd_fails, range(6), pool=pool, return_errors=True, ordered=True)
    ]
    assert [(result.index, result.item, result.value) for result in results] == [
        (number, number, None if number % 2 else number) for number in range(6)
    ]
    assert [str(result.error) for result in results if result.error] == ["1 is odd", "3 is odd", "5 is odd"]
    assert results[2].unwrap() == 2
    with pytest.raises(ValueError, match="3 is odd"):
        results[3].unwrap()


async def test_every_kind_of_exception_comes_back(pool: WorkerPool) -> None:
    kinds = ["fine", "two", "exit", "stop", "cancelled", "fine"]
    results = [
        result async for result in stream(tasks.fails_in_its_way, kinds, pool=pool, return_errors=True, ordered=True)
    ]
    assert [type(result.error) for result in results] == [
        type(None), tasks.TwoArguments, RemoteError, RemoteError, RemoteError, type(None)
    ]  # fmt: skip


async def test_what_does_not_pickle_costs_itself_alone(pool: WorkerPool) -> None:
    items: list[Any] = [0, lambda: 1, 2, tasks.Bomb(), 4]
    results = [
        result async for result in stream(tasks.size_of_bomb, items, pool=pool, return_errors=True, ordered=True)
    ]
    assert [isinstance(result.error, TaskNotPicklable) for result in results] == [False, True, False, True, False]
    assert str(results[1].error).startswith("the item, a function, cannot be sent to a worker: ")
    back = [
        result
        async for result in stream(tasks.unpicklable_if_odd, range(4), pool=pool, return_errors=True, ordered=True)
    ]
    assert [isinstance(result.error, TaskNotPicklable) for result in back] == [False, True, False, True]
    bombs = [
        result async for result in stream(tasks.bomb_if_odd, range(4), pool=pool, return_errors=True, ordered=True)
    ]
    assert [str(result.error) if result.error else None for result in bombs] == [
        None, "stream_tasks.bomb_if_odd: its result cannot be loaded here: a bomb",
    ] * 2  # fmt: skip


async def test_a_function_that_cannot_travel_is_refused_at_the_call(pool: WorkerPool) -> None:
    with pytest.raises(TaskNotPicklable, match="import by name"):
        stream(lambda value: value, [1], pool=pool)
    function = partial(tasks.square)
    assert [value async for value in stream(function, [3], pool=pool)] == [9], "not every function has a module"

    def in_the_script(value: int) -> int:
        return value

    in_the_script.__module__ = "__main__"
    with pytest.raises(TaskNotPicklable, match="define it in a module"):
        stream(in_the_script, [1], pool=pool)
    assert pool.stats().done == 1


async def test_an_error_of_the_source_is_raised_after_the_results_of_what_came_before(pool: WorkerPool) -> None:
    def broken() -> Iterator[int]:
        yield from range(5)
        raise OSError("the disk is gone")

    results = stream(tasks.square, broken(), pool=pool, ordered=True)
    assert [await anext(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    with pytest.raises(OSError, match="the disk is gone"):
        await anext(results)


async def test_a_pool_that_is_closed_is_the_end_of_the_stream(pool: WorkerPool) -> None:
    results = stream(tasks.square, count(), pool=pool, return_errors=True)
    await anext(results)
    pool.close(timeout=0.0)
    with pytest.raises(PoolClosed):
        async for _ in results:
            pass
    with pytest.raises(PoolClosed):
        await anext(stream(tasks.square, [1], pool=pool))


async def test_a_deadline_that_would_reach_the_function_is_refused(pool: WorkerPool) -> None:
    for place in (pool.executor(), pool.limited(deadline=5)):
        with pytest.raises(ValueError, match="deadline"):
            stream(tasks.square, [1], pool=place, deadline=5)
        assert [value async for value in stream(tasks.square, [3], pool=place)] == [9]


@pytest.mark.parametrize(
    "options", [{"max_items": 0}, {"max_bytes": 0}, {"batch_items": 0}, {"batch_seconds": 0.0}], ids=str
)
def test_limits_that_make_no_sense(options: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        stream(tasks.square, [1], pool=InlineBackend(), **options)


# -- done-callbacks


async def test_the_callback_hears_of_every_item_as_it_finishes(pool: WorkerPool) -> None:
    heard: dict[int, Result[int, int]] = {}
    results = stream(
        tasks.slow_if_first, range(20), pool=pool, ordered=True, on_done=lambda index, done: heard.update({index: done})
    )
    first = await anext(results)
    assert (first, sorted(heard)) == (0, list(range(20))), "before the results waited for the first one"
    assert [value async for value in results] == list(range(1, 20))
    assert heard[7] == Result(7, 7, 7, None)


async def test_the_callback_hears_of_errors(pool: WorkerPool) -> None:
    heard: list[str] = []
    results = stream(
        tasks.odd_fails,
        range(4),
        pool=pool,
        return_errors=True,
        on_done=lambda index, done: heard.append(f"{index} {done.error}"),
    )
    assert len([result async for result in results]) == 4
    assert sorted(heard) == ["0 None", "1 1 is odd", "2 None", "3 3 is odd"]


async def test_a_callback_that_raises_ends_the_stream(pool: WorkerPool) -> None:
    def refuse(index: int, _result: object) -> None:
        if index == 3:
            raise LookupError("number three")

    with pytest.raises(LookupError, match="number three"):
        async for _ in stream(tasks.square, count(), pool=pool, on_done=refuse):
            pass
    assert other_tasks() == set()


# -- the end


@pytest.mark.parametrize("kind", ["generator", "async"])
async def test_closing_closes_the_source_and_leaves_no_task(pool: WorkerPool, kind: str) -> None:
    numbers = Numbers()
    source: Any = numbers.numbers() if kind == "generator" else numbers.slowly()
    results = stream(tasks.square, source, pool=pool)
    await anext(results)
    assert other_tasks() != set()
    await results.aclose()
    assert numbers.is_closed
    assert other_tasks() == set()


async def test_the_end_stops_work_under_way(pool: WorkerPool, tmp_path: Path) -> None:
    """The workers that are at it are killed; nobody waits for them."""
    marks = tmp_path / "marks"
    started = time.monotonic()
    results = stream(tasks.sleep_and_mark, [str(marks)] * 6, pool=pool)
    first = asyncio.ensure_future(anext(results))
    while not marks.exists() or marks.read_text().count("start") < 2:
        await asyncio.sleep(0.01)
        assert time.monotonic() < started + 5
    before = pool.pids
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await asyncio.wait_for(pool.run(tasks.square, 3), 2) == 9
    assert time.monotonic() < started + 2.9
    assert marks.read_text() == "start\nstart\n"
    assert set(before) & set(pool.pids) == set()


async def test_the_end_spares_workers_that_are_about_to_finish(pool: WorkerPool) -> None:
    """A worker that is killed must start and import again."""
    for _ in range(5):
        async with aclosing(stream(tasks.square, count(), pool=pool)) as results:
            for _ in range(200):
                await anext(results)
    assert sum(pool.stats().deaths.values()) == 0


async def test_a_loop_that_is_left_closes_the_stream(pool: WorkerPool) -> None:
    numbers = Numbers()
    async for _ in stream(tasks.square, numbers, pool=pool):
        break
    gc.collect()
    await tasks_end()
    assert numbers.is_closed


async def test_cancelling_whoever_iterates_closes_the_stream(pool: WorkerPool) -> None:
    numbers = Numbers()
    started = asyncio.Event()

    async def consume() -> None:
        async for _ in stream(tasks.square, numbers, pool=pool):
            started.set()
            await asyncio.sleep(0)

    consumer = asyncio.create_task(consume())
    await started.wait()
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    del consumer
    gc.collect()
    await tasks_end()
    assert numbers.is_closed


async def test_a_source_that_fails_to_close_is_heard_of(pool: WorkerPool) -> None:
    async def stubborn() -> AsyncIterator[int]:
        try:
            for number in count():
                yield number
                await asyncio.sleep(0)
        finally:
            raise OSError("cannot be closed")

    results = stream(tasks.square, stubborn(), pool=pool)
    await anext(results)
    with pytest.raises(OSError, match="cannot be closed"):
        await results.aclose()


class Countdown:
    """An async iterator that is no generator: it has nothing to close."""

    def __init__(self, count: int) -> None:
        self._left = count

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        await asyncio.sleep(0)
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        return self._left


async def test_a_source_that_has_nothing_to_close(pool: WorkerPool) -> None:
    assert sorted([value async for value in stream(tasks.square, Countdown(5), pool=pool)]) == [0, 1, 4, 9, 16]


async def test_a_source_may_take_its_time_to_close_however_often_one_is_cancelled(pool: WorkerPool) -> None:
    is_closed = False

    async def slow_to_close() -> AsyncIterator[int]:
        nonlocal is_closed
        try:
            yield 1
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.1)
            is_closed = True

    results = stream(tasks.square, slow_to_close(), pool=pool)
    assert await anext(results) == 1
    waits = asyncio.ensure_future(anext(results))
    for _ in range(3):
        await asyncio.sleep(0.01)
        waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    assert is_closed
    assert other_tasks() == set()


def test_what_ends_after_the_loop_is_nobodys(caplog: pytest.LogCaptureFixture) -> None:
    """Threads cannot be stopped: a trip comes back when stream and loop are gone."""

    async def one() -> str:
        results = stream(tasks.slow_if_first, [0, 1], pool=executor, batch_items=1)
        return repr(await anext(results))

    with ThreadPoolExecutor(2) as executor:
        assert asyncio.run(one()) == "1"
    assert caplog.records == []


async def test_a_stream_that_is_never_iterated_reads_nothing(pool: WorkerPool) -> None:
    numbers = Numbers()
    results = stream(tasks.square, numbers, pool=pool)
    await results.aclose()
    assert numbers.read == 0
    assert pool.pids == () or pool.stats().done == 0


# -- other places to run


async def test_other_backends() -> None:
    expected = [number**2 for number in range(200)]
    threads = ForeignBackend(ThreadPoolExecutor(2))
    local = LocalBackend(WorkerPool(2))
    for backend in (InlineBackend(), threads, local):
        assert [value async for value in stream(tasks.square, range(200), pool=backend, ordered=True)] == expected
        results = stream(tasks.odd_fails, range(10), pool=backend, return_errors=True)
        assert sum([result.error is not None async for result in results]) == 5
    threads.close()
    local.close()
    with ThreadPoolExecutor(2) as executor:
        assert [value async for value in stream(tasks.square, range(200), pool=executor, ordered=True)] == expected


async def test_a_trip_that_the_executor_gives_up_ends_the_stream() -> None:
    executor = ThreadPoolExecutor(1)
    results = stream(tasks.hang_at_culprit, range(290), pool=executor, batch_items=1)
    await anext(results)
    executor.shutdown(wait=False, cancel_futures=True)
    with pytest.raises((PoolClosed, RuntimeError)):
        async for _ in results:
            pass
    executor.shutdown(wait=True)


# -- the pace


def test_the_pace_starts_with_one_and_grows_in_steps() -> None:
    pace = Pace(0.03, 1000)
    sizes = [pace.items]
    for _ in range(6):
        pace.ran(pace.items, pace.items * 0.0001)
        sizes.append(pace.items)
    assert sizes == [1, 4, 16, 64, 256, 300, 300]


def test_the_pace_slows_down_for_slow_items_and_keeps_to_the_most() -> None:
    pace = Pace(0.03, 50)
    for _ in range(8):
        pace.ran(pace.items, pace.items * 0.00001)
    assert pace.items == 50
    pace.ran(50, 50 * 0.01)
    assert pace.items <= 10
    for _ in range(20):
        pace.ran(1, 1.0)
    assert pace.items == 1


def test_a_clock_that_stands_still_is_no_division_by_zero() -> None:
    pace = Pace(0.03, 7)
    pace.ran(1, 0.0)
    pace.ran(1, 0.0)
    assert pace.items == 7


def test_the_options_are_those_of_the_overloads() -> None:
    """They are written down once for both, and this keeps them the same as what the function takes."""
    taken = {name for name, kind in signature(stream).parameters.items() if kind.kind is kind.KEYWORD_ONLY}
    assert set(Options.__annotations__) == taken - {"return_errors"}
