"""Coroutines in workers: results, errors, and a cancellation that lets them clean up, but not for ever."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import stream_tasks as tasks
import uvloop

from pipelines.coroutine import Pipe, run_coroutine
from pipelines.errors import PoolClosed, TaskNotPicklable, TaskTimeout, WorkerCrashed
from pipelines.in_worker import run_async_in_worker
from pipelines.pool.pool import WorkerPool
from tests.support.leftovers import other_tasks

pytestmark = pytest.mark.usefixtures("leaves_nothing")


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    """One worker: a call that does not give it back would stop the next."""
    with WorkerPool(1, name="test") as pool:
        yield pool


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def written(path: Path) -> list[str]:
    """Return the lines of a file once there are any."""
    until = time.monotonic() + 5
    while not lines(path):
        await asyncio.sleep(0.01)
        assert time.monotonic() < until, "the coroutine did not start"
    return lines(path)


# -- results


async def test_the_result_comes_back(pool: WorkerPool) -> None:
    assert await run_async_in_worker(tasks.add_slowly, 1, 2, seconds=0.0, pool=pool) == 3
    assert await run_async_in_worker(tasks.gathered, 20, pool=pool) == [2 * number for number in range(20)]


async def test_errors_have_the_traceback_of_the_worker(pool: WorkerPool) -> None:
    with pytest.raises(tasks.TwoArguments, match="async: why") as caught:
        await run_async_in_worker(tasks.async_fail, "why", pool=pool)
    assert "in async_fail" in str(caught.value.__cause__)


async def test_another_loop_can_be_asked_for(pool: WorkerPool) -> None:
    assert await run_async_in_worker(tasks.loop_kind, pool=pool) == "asyncio.unix_events"
    kind = await run_async_in_worker(tasks.loop_kind, pool=pool, loop_factory=uvloop.new_event_loop)
    assert kind == "uvloop"


async def test_a_coroutine_that_cancels_itself_does_not_cancel_its_caller(pool: WorkerPool) -> None:
    with pytest.raises(RuntimeError, match="cancelled in the worker"):
        await run_async_in_worker(tasks.cancels_itself, pool=pool)


async def test_what_cannot_travel_is_refused_at_the_call(pool: WorkerPool) -> None:
    async def nested() -> None: ...

    with pytest.raises(TaskNotPicklable):
        await run_async_in_worker(nested, pool=pool)
    assert await asyncio.wait_for(run_async_in_worker(tasks.add_slowly, 1, 1, pool=pool), 5) == 2, "the turn went on"


async def test_a_worker_keeps_no_descriptor_of_calls_that_are_over(pool: WorkerPool) -> None:
    for _ in range(2):
        await run_async_in_worker(tasks.add_slowly, 1, 2, seconds=0.0, pool=pool)
    before = await pool.run(tasks.descriptors)
    for _ in range(10):
        await run_async_in_worker(tasks.add_slowly, 1, 2, seconds=0.0, pool=pool)
    assert await pool.run(tasks.descriptors) == before


async def test_no_more_calls_are_under_way_than_the_pool_admits() -> None:
    async with WorkerPool(1, max_tasks=2) as pool:
        calls = [
            asyncio.create_task(run_async_in_worker(tasks.add_slowly, n, 0, seconds=0.05, pool=pool)) for n in range(6)
        ]
        most = 0
        while not all(call.done() for call in calls):
            stats = pool.stats()
            most = max(most, stats.busy + stats.queued)
            await asyncio.sleep(0.005)
        assert [call.result() for call in calls] == list(range(6))
        assert 1 <= most <= 2
        assert pool.admission.tasks == 0


# -- limits


@pytest.mark.parametrize("way", ["computing", "ignoring"])
async def test_the_deadline_ends_it_whatever_it_does(pool: WorkerPool, tmp_path: Path, way: str) -> None:
    function = tasks.blocks if way == "computing" else tasks.swallows_cancellation
    started = time.monotonic()
    with pytest.raises(TaskTimeout):
        await run_async_in_worker(function, str(tmp_path / "mark"), pool=pool, deadline=0.3)
    assert time.monotonic() - started < 2
    assert await run_async_in_worker(tasks.add_slowly, 1, 2, pool=pool) == 3


async def test_a_worker_that_dies_takes_only_this_call(pool: WorkerPool) -> None:
    with pytest.raises(WorkerCrashed, match="SIGKILL"):
        await run_async_in_worker(tasks.dies, pool=pool)
    assert await run_async_in_worker(tasks.add_slowly, 1, 2, pool=pool) == 3


async def test_a_closed_pool_says_so() -> None:
    pool = WorkerPool(1)
    pool.close()
    with pytest.raises(PoolClosed):
        await run_async_in_worker(tasks.add_slowly, 1, 2, pool=pool)
    assert other_tasks() == set()


# -- cancellation


async def test_a_cancelled_coroutine_cleans_up_and_its_worker_lives_on(pool: WorkerPool, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    call = asyncio.create_task(run_async_in_worker(tasks.clean_up, str(mark), pool=pool))
    (pid,) = await written(mark)
    started = time.monotonic()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert time.monotonic() - started < 1
    assert lines(mark) == [pid, "cleaned up"], "before the cancellation comes back"
    assert await pool.run(tasks.pid) == int(pid)


async def test_a_timeout_around_it_works_the_same(pool: WorkerPool, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await run_async_in_worker(tasks.clean_up, str(mark), pool=pool)
    assert lines(mark)[1:] == ["cleaned up"]


@pytest.mark.parametrize("way", ["ignoring", "slow"])
async def test_who_takes_longer_than_the_grace_is_killed(pool: WorkerPool, tmp_path: Path, way: str) -> None:
    mark = tmp_path / "mark"
    if way == "ignoring":
        work = run_async_in_worker(tasks.swallows_cancellation, str(mark), pool=pool, grace=0.2)
    else:
        work = run_async_in_worker(tasks.clean_up, str(mark), 20.0, pool=pool, grace=0.2)
    call = asyncio.create_task(work)
    (pid,) = await written(mark)
    started = time.monotonic()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert 0.15 < time.monotonic() - started < 1.5
    assert await pool.run(tasks.pid) != int(pid)
    assert lines(mark) == [pid]


async def test_cancelling_again_kills_at_once(pool: WorkerPool, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    call = asyncio.create_task(run_async_in_worker(tasks.swallows_cancellation, str(mark), pool=pool, grace=30))
    (pid,) = await written(mark)
    call.cancel()
    await asyncio.sleep(0.05)
    assert not call.done()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(call, 2)
    assert await asyncio.wait_for(pool.run(tasks.pid), 3) != int(pid)


async def test_one_that_waits_for_a_worker_never_starts(pool: WorkerPool, tmp_path: Path) -> None:
    first = asyncio.create_task(run_async_in_worker(tasks.clean_up, str(tmp_path / "first"), pool=pool))
    await written(tmp_path / "first")
    waiting = [
        asyncio.create_task(run_async_in_worker(tasks.clean_up, str(tmp_path / name), pool=pool)) for name in "abcde"
    ]
    await asyncio.sleep(0.05)
    started = time.monotonic()
    for call in (*waiting, first):
        call.cancel()
    assert all(
        isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*waiting, first, return_exceptions=True)
    )
    assert time.monotonic() - started < 1
    assert await pool.run(tasks.pid)
    assert os.listdir(tmp_path) == ["first"]  # noqa: PTH208 - pathlib is refused in coroutines


async def test_errors_while_cleaning_up_are_nobodys_any_more(
    pool: WorkerPool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mark = tmp_path / "mark"
    with caplog.at_level(logging.ERROR, logger="asyncio"):
        call = asyncio.create_task(run_async_in_worker(tasks.fails_to_clean_up, str(mark), pool=pool))
        await written(mark)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        del call
        await asyncio.sleep(0)
    assert caplog.records == []


async def test_a_signal_to_the_whole_group_leaves_the_coroutine_alone(pool: WorkerPool) -> None:
    """`docker stop` and Ctrl-C reach workers too; whether to stop is for the parent to say."""
    pid = await run_async_in_worker(tasks.term_handler_is_quiet, pool=pool)
    assert await pool.run(tasks.pid) == pid


# -- other places, and none


async def test_threads_can_run_coroutines_too(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with ThreadPoolExecutor(1) as executor:
        assert await run_async_in_worker(tasks.add_slowly, 1, 2, pool=executor) == 3
        call = asyncio.create_task(run_async_in_worker(tasks.clean_up, str(mark), pool=executor))
        await written(mark)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert lines(mark) == [str(os.getpid()), "cleaned up"]


def test_a_pipe_that_cannot_be_opened_is_done_without() -> None:
    assert run_coroutine(tasks.add_slowly, (1, 2), {"seconds": 0.0}, None, Pipe(os.getpid(), 99_999)) == 3
    assert run_coroutine(tasks.add_slowly, (1, 2), {"seconds": 0.0}, None, None) == 3


def test_a_wish_to_stop_that_was_there_before_the_start_is_heard() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"\0")
    started = time.monotonic()
    assert run_coroutine(tasks.add_slowly, (1, 2), {"seconds": 20.0}, None, Pipe(os.getpid(), reading)) is None
    assert time.monotonic() - started < 5
    os.close(reading)
    os.close(writing)
