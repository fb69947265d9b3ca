"""What a caller is told about a task that is over."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, InvalidStateError

import pool_tasks as tasks
import pytest

from pipelines.errors import (
    PoolBroken,
    PoolClosed,
    RemoteError,
    TaskNotPicklable,
    TaskTimeout,
    WorkerCrashed,
)
from pipelines.pool.outcome import Outcome, Status
from pipelines.pool.pool import WorkerPool

Eventually = Callable[[Callable[[], bool]], None]


async def test_a_value_comes_with_what_it_cost(pool: WorkerPool) -> None:
    await pool.run(tasks.same, 0)
    started = time.monotonic()
    outcome = await pool.outcome(tasks.pid_after, 0.1)
    took = time.monotonic() - started
    assert (outcome.status, outcome.error, outcome.cause, outcome.attempts) == (Status.OK, None, "", 1)
    assert outcome.unwrap() == outcome.value == outcome.worker
    assert outcome.worker in pool.pids
    assert 0.1 <= outcome.run_s <= 0.2
    assert min(outcome.queued_s, outcome.transfer_s) >= 0
    assert outcome.queued_s + outcome.transfer_s + outcome.run_s <= took
    assert 4 << 20 < outcome.peak_rss < 1 << 30


def test_times_are_told_apart() -> None:
    """A task waits while another runs; a large one is under way for longer than it runs."""
    with WorkerPool(1, spare=False) as pool:
        pool.submit(tasks.same, 0).result(10)
        first, second = pool.submit(tasks.pid_after, 0.2), pool.submit(tasks.same, bytes(30_000_000))
        first.result(10)
        second.result(10)
        assert first.outcome.queued_s < 0.1
        assert second.outcome.queued_s > 0.1
        assert second.outcome.run_s < 0.05
        assert second.outcome.transfer_s > second.outcome.run_s


@pytest.mark.parametrize(
    ("function", "arguments", "status", "cause", "error"),
    [
        (tasks.fail, ("what",), Status.ERROR, "", ValueError),
        (tasks.fail, ("exit",), Status.ERROR, "", RemoteError),
        (tasks.raise_base, (), Status.ERROR, "", RemoteError),
        (tasks.give_lambda, (), Status.ERROR, "", TaskNotPicklable),
        (tasks.leave, (3,), Status.CRASH, "exit code 3", WorkerCrashed),
        (tasks.segfault, (), Status.CRASH, "SIGSEGV", WorkerCrashed),
        (tasks.die, (9,), Status.CRASH, "SIGKILL", WorkerCrashed),
        (tasks.catastrophic, (), Status.TIMEOUT, "deadline of 0.3 s", TaskTimeout),
        (tasks.nested_crash, (), Status.ERROR, "", WorkerCrashed),
    ],
)
async def test_trouble_is_told_and_not_raised(
    pool: WorkerPool,
    function: Callable[..., object],
    arguments: tuple[object, ...],
    status: Status,
    cause: str,
    error: type[BaseException],
) -> None:
    face = pool.limited(deadline=0.3 if status is Status.TIMEOUT else 20)
    outcome = await face.outcome(function, *arguments)
    assert (outcome.status, outcome.cause, outcome.attempts) == (status, cause, 1)
    assert type(outcome.error) is error
    assert outcome.value is None
    assert outcome.worker is not None
    with pytest.raises(error):
        outcome.unwrap()
    with pytest.raises(error):
        await face.run(function, *arguments)
    if status is Status.TIMEOUT:
        assert 0.3 <= outcome.run_s < 0.3 + 0.25


async def test_what_the_pool_refuses_is_raised(pool: WorkerPool, eventually: Eventually) -> None:
    with pytest.raises(TaskNotPicklable):
        await pool.outcome(tasks.same, lambda: None)
    await pool.aclose()
    with pytest.raises(PoolClosed):
        await pool.outcome(tasks.same, 1)
    broken = WorkerPool(1, preload=["no_such_module_anywhere"])
    with pytest.raises(PoolBroken):
        await broken.outcome(tasks.same, 1)
    await broken.aclose()


def test_a_future_knows_its_outcome(pool: WorkerPool) -> None:
    future = pool.submit(tasks.pid_after, 0.05)
    with pytest.raises(InvalidStateError):
        _ = future.outcome
    future.result(10)
    assert future.outcome.status is Status.OK
    failed = pool.submit(tasks.leave, 4)
    assert isinstance(failed.exception(10), WorkerCrashed)
    assert (failed.outcome.status, failed.outcome.cause) == (Status.CRASH, "exit code 4")


def test_a_cancelled_future_has_an_outcome_too(pool: WorkerPool) -> None:
    blocking = [pool.submit(tasks.pid_after, 0.1) for _ in range(6)]
    future = pool.submit(tasks.same, 1)
    assert future.cancel()
    outcome: Outcome[object] = future.outcome
    assert outcome.status is Status.CANCELLED
    assert isinstance(outcome.error, CancelledError)
    assert (outcome.attempts, outcome.worker, outcome.run_s) == (0, None, 0.0)
    assert all(other.result(10) for other in blocking)


def test_a_task_that_moves_counts_its_attempts(tmp_path: os.PathLike[str], eventually: Eventually) -> None:
    """A worker that is stopped never takes what lies in its socket; another one does, once the first is dead."""
    with WorkerPool(1) as pool:
        eventually(lambda: pool.stats().ready == 1)
        pid = pool.pids[0]
        os.kill(pid, 19)
        future = pool.submit(tasks.same, 1)
        eventually(future.running)
        os.kill(pid, 9)
        assert future.result(10) == 1
        assert future.outcome.attempts == 2
        assert future.outcome.worker != pid


def test_stats_count_by_cause(pool: WorkerPool) -> None:
    futures = [
        pool.submit(tasks.same, 1),
        pool.submit(tasks.fail, "what"),
        pool.submit(tasks.leave, 1),
        pool.submit(tasks.catastrophic, deadline=0.2),
    ]
    for future in futures:
        future.exception(10)
    stats = pool.stats()
    assert (stats.ok, stats.errors, stats.crashes, stats.timeouts) == (1, 1, 1, 1)
    assert (stats.done, stats.oom, stats.cancelled) == (2, 0, 0)


def test_stats_tell_what_waits(eventually: Eventually) -> None:
    with WorkerPool(1, spare=False) as pool:
        assert pool.stats().workers in (0, 1)
        slow = pool.submit(tasks.pid_after, 0.2)
        eventually(slow.running)
        waiting = [pool.submit(tasks.same, bytes(100_000)) for _ in range(4)]
        stats = pool.stats()
        assert stats.queued == 4
        assert 300_000 <= stats.queued_bytes < 420_000  # one of them lies in the worker's socket
        assert all(len(future.result(10)) == 100_000 for future in waiting)
        assert pool.stats().queued_bytes == 0
    assert WorkerPool(1).stats().workers == 0
