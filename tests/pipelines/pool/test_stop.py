"""Whoever stops waiting stops the work: before admission, while it waits, while it runs, and after."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, wait
from pathlib import Path

import pool_tasks as tasks
import pytest
import uvloop

from pipelines.pool.outcome import Status
from pipelines.pool.pool import WorkerPool
from pipelines.pool.stats import Death

Eventually = Callable[[Callable[[], bool]], None]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another thread
            await asyncio.sleep(0.005)


async def cancel(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_before_admission(tmp_path: Path) -> None:
    async with WorkerPool(1, max_tasks=1, spare=False) as pool:
        running = asyncio.create_task(pool.run(tasks.pid_after, 0.2))
        await until(lambda: pool.admission.tasks == 1)
        waiting = asyncio.create_task(pool.run(tasks.mark, str(tmp_path / "ran")))
        await asyncio.sleep(0)
        assert pool.admission.waiting == 1
        await cancel(waiting)
        assert await running
        assert await pool.run(tasks.same, 1) == 1
        assert pool.stats().cancelled == 0, "the pool never had it"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("ahead", [1, 3], ids=["in the worker's socket", "in the queue"])
async def test_cancelled_while_it_waits(tmp_path: Path, ahead: int) -> None:
    async with WorkerPool(1, max_tasks=10, spare=False) as pool:
        others = [asyncio.create_task(pool.run(tasks.pid_after, 0.15)) for _ in range(ahead)]
        await until(lambda: pool.stats().busy == 1)
        waiting = asyncio.create_task(pool.run(tasks.mark, str(tmp_path / "ran")))
        await until(lambda: pool.stats().queued == ahead)
        await cancel(waiting)
        assert pool.stats().queued == ahead - 1
        assert len(set(await asyncio.gather(*others))) == 1, "the same worker all the time"
        assert pool.stats().cancelled == 1
        assert (pool.admission.tasks, pool.admission.bytes) == (0, 0)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("function", [tasks.catastrophic, tasks.stop_me], ids=["in C code", "stopped"])
async def test_cancelled_while_it_runs(function: Callable[[], object]) -> None:
    """Its worker is killed, nobody else loses anything, and it is no crash."""
    async with WorkerPool(1, max_tasks=10) as pool:
        await until(lambda: pool.stats().spares == 1)
        running = asyncio.create_task(pool.run(function))
        await until(lambda: pool.stats().busy == 1)
        ahead = [asyncio.create_task(pool.run(tasks.same, number)) for number in range(3)]
        await until(lambda: pool.stats().queued == 3)
        pid = pool.pids[0]
        await asyncio.sleep(0.05)
        await cancel(running)
        started = time.monotonic()
        assert await asyncio.gather(*ahead) == [0, 1, 2]
        assert time.monotonic() - started < 1.0
        assert pid not in pool.pids
        await until(lambda: pool.stats().deaths[Death.STOPPED] == 1)
        stats = pool.stats()
        assert (stats.cancelled, stats.crashes, stats.deaths[Death.CRASH]) == (1, 0, 0)


async def test_cancelled_after_it_is_done_changes_nothing(pool: WorkerPool) -> None:
    task = asyncio.create_task(pool.run(tasks.same, 5))
    assert await task == 5
    assert not task.cancel()
    future = pool.submit(tasks.same, 6)
    assert future.result(10) == 6
    assert not future.cancel()
    future.stop()
    assert future.result() == 6
    assert future.outcome.status is Status.OK
    assert (pool.stats().cancelled, pool.stats().restarts) == (0, 0)


@pytest.mark.parametrize("way", ["executor", "run"])
async def test_who_awaits_an_executor_lets_it_run_on(tmp_path: Path, way: str) -> None:
    """So it is with every executor; `run` and `outcome` stop the work."""
    mark = tmp_path / "mark"
    async with WorkerPool(1, preload=["logging"]) as pool:
        loop = asyncio.get_running_loop()
        call: asyncio.Future[str]
        if way == "executor":
            call = loop.run_in_executor(pool.executor(), tasks.clean_up, str(mark), 0.3)
        else:
            call = asyncio.ensure_future(pool.run(tasks.clean_up, str(mark), 0.3))
        await until(lambda: mark.exists() and mark.read_text() == "began")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await pool.run(tasks.same, 1) == 1
        await asyncio.sleep(0.4)
        assert mark.read_text() == ("cleaned up" if way == "executor" else "began")
        assert pool.stats().deaths[Death.STOPPED] == (0 if way == "executor" else 1)


async def test_many_stops_never_break_the_pool() -> None:
    """The breaker counts crashes in a row; what a caller stops is none."""
    async with WorkerPool(1) as pool:
        for _ in range(25):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await pool.run(tasks.pid_after, 30)
        assert await pool.run(tasks.same, 1) == 1


def test_stop_ends_a_running_future_at_once(pool: WorkerPool, eventually: Eventually) -> None:
    future = pool.submit(tasks.catastrophic)
    called: list[object] = []
    future.add_done_callback(called.append)
    eventually(future.running)
    assert not future.cancel(), "as the standard has it"
    started = time.monotonic()
    future.stop()
    assert time.monotonic() - started < 0.2
    assert future.cancelled()
    assert not future.running()
    assert called == [future]
    assert wait([future], timeout=1).not_done == set()
    with pytest.raises(CancelledError):
        future.result(1)
    assert future.outcome.status is Status.CANCELLED
    assert future.outcome.attempts == 1
    future.stop()
    eventually(lambda: pool.stats().deaths[Death.STOPPED] == 1)


def test_stop_takes_back_what_has_not_started(pool: WorkerPool, eventually: Eventually) -> None:
    eventually(lambda: pool.stats().ready == 2)
    pids = pool.pids
    slow = [pool.submit(tasks.pid_after, 0.2) for _ in range(2)]
    waiting = [pool.submit(tasks.same, number) for number in range(5)]
    for future in waiting:
        future.stop()
    assert all(future.cancelled() for future in waiting)
    assert {future.result(10) for future in slow} <= set(pids)
    assert pool.stats().restarts == 0


def test_stop_from_many_threads_counts_once(pool: WorkerPool, eventually: Eventually) -> None:
    future = pool.submit(tasks.pid_after, 30)
    eventually(future.running)
    threads = [threading.Thread(target=future.stop) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert pool.stats().cancelled == 1
    eventually(lambda: pool.stats().deaths[Death.STOPPED] == 1)
    assert pool.submit(tasks.same, 1).result(10) == 1


def test_stopping_at_random_moments_loses_nobody_elses_task(pool: WorkerPool) -> None:
    """At whatever moment the blow falls, what was not stopped comes back, having run once."""
    futures = [pool.submit(tasks.same, (number, bytes(50_000))) for number in range(600)]
    for number in range(0, 600, 40):
        futures[number].stop()
        time.sleep(0.002)
    for number, future in enumerate(futures):
        if future.cancelled():
            assert number % 40 == 0
        else:
            assert future.result(20)[0] == number
    stats = pool.stats()
    assert stats.crashes == 0
    assert stats.ok + stats.cancelled == 600


def test_a_stopped_task_that_its_worker_has_claimed_unseen(pool: WorkerPool, eventually: Eventually) -> None:
    """The parent still believes that it waits in the socket: it must die all the same, and the one before it must not.

    The supervisor is kept from reading the first answer by holding its lock.
    """
    supervisor = pool.supervisor()
    eventually(lambda: pool.stats().ready == 2)
    first = [pool.submit(tasks.same, number) for number in range(2)]
    assert [future.result(10) for future in first] == [0, 1]
    with supervisor._lock:
        before = [pool.submit(tasks.pid_after, 0.05) for _ in range(2)]
        second = [pool.submit(tasks.pid_after, 30) for _ in range(2)]
        time.sleep(0.3)  # both workers have taken the second task; the answers to the first wait
        for future in second:
            future.stop()
    assert all(future.result(10) for future in before)
    assert all(future.cancelled() for future in second)
    eventually(lambda: pool.stats().deaths[Death.STOPPED] == 2)
    assert pool.submit(tasks.same, 1).result(10) == 1


def test_it_is_the_same_under_uvloop() -> None:
    async def main() -> None:
        async with WorkerPool(1, max_tasks=2) as pool:
            assert await asyncio.gather(*(pool.run(tasks.same, number) for number in range(20))) == list(range(20))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await pool.run(tasks.catastrophic)
            assert (await pool.limited(deadline=0.1).outcome(tasks.catastrophic)).status is Status.TIMEOUT
            assert await pool.run(tasks.same, 1) == 1

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
