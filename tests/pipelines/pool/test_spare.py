"""One warm process more than workers: it waits, it takes over at once, and it is never in anybody's way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from statistics import median

import pool_tasks as tasks
import pytest

from pipelines.errors import TaskTimeout, WorkerCrashed
from pipelines.pool.pool import WorkerPool
from pipelines.pool.stats import Death

Eventually = Callable[[Callable[[], bool]], None]

REPLACED_SECONDS = 0.3  # the promise
STARTED_SECONDS = 0.8  # two interpreters; 0.1 s where nobody else is at work


def has_a_warm_spare(pool: WorkerPool) -> bool:
    supervisor = pool.supervisor()
    return any(worker.is_spare and worker.is_ready for worker in supervisor._crew.workers)


def spare_pid(pool: WorkerPool) -> int:
    return next(worker.process.pid for worker in pool.supervisor()._crew.workers if worker.is_spare)


def is_complete_without(pool: WorkerPool, dead: Collection[int]) -> bool:
    return pool.stats().ready == pool.workers and not set(pool.pids) & set(dead)


def test_it_starts_when_all_workers_are_ready_and_gets_no_task(eventually: Eventually) -> None:
    with WorkerPool(2, initializer=tasks.prepare) as pool:
        while not has_a_warm_spare(pool):
            stats = pool.stats()
            assert stats.spares == 0 or stats.ready == 2
            assert stats.workers <= 2
            time.sleep(0.001)
        spare = spare_pid(pool)
        assert spare not in pool.pids
        pids = {future.result(10) for future in [pool.submit(tasks.pid_after, 0.005) for _ in range(40)]}
        assert pids == set(pool.pids)
        assert (pool.stats().workers, pool.stats().spares, pool.stats().restarts) == (2, 1, 0)


@pytest.mark.parametrize("how", ["crash", "deadline", "kill", "stop"])
def test_it_replaces_a_dead_worker_at_once(eventually: Eventually, how: str) -> None:
    """The slow start of its successor is nobody's concern: with an initializer of 0.5 s, a cold start takes longer."""
    with WorkerPool(1, initializer=tasks.prepare_slowly) as pool:
        eventually(lambda: has_a_warm_spare(pool))
        spare, worker = spare_pid(pool), pool.pids[0]
        if how == "crash":
            assert isinstance(pool.submit(tasks.leave, 1).exception(10), WorkerCrashed)
        elif how == "deadline":
            assert isinstance(pool.submit(tasks.catastrophic, deadline=0.2).exception(10), TaskTimeout)
        elif how == "kill":
            os.kill(worker, signal.SIGKILL)
        else:
            future = pool.submit(tasks.catastrophic)
            eventually(future.running)
            future.stop()
        started = time.monotonic()
        assert pool.submit(tasks.pid_after, 0).result(10) == spare
        assert time.monotonic() - started < REPLACED_SECONDS
        eventually(lambda: pool.pids == (spare,))
        assert pool.stats().restarts == 1
        eventually(lambda: has_a_warm_spare(pool))


def test_one_that_dies_is_replaced_and_costs_nothing(pool: WorkerPool, eventually: Eventually) -> None:
    eventually(lambda: has_a_warm_spare(pool))
    dead = spare_pid(pool)
    os.kill(dead, signal.SIGKILL)
    assert pool.submit(tasks.same, 1).result(10) == 1
    eventually(lambda: has_a_warm_spare(pool) and spare_pid(pool) != dead)
    assert pool.stats().deaths[Death.IDLE] == 1
    assert pool.stats().restarts == 0


def test_without_a_spare_a_worker_is_replaced_all_the_same(eventually: Eventually) -> None:
    with WorkerPool(1, spare=False) as pool:
        eventually(lambda: pool.stats().ready == 1)
        for _ in range(3):
            assert isinstance(pool.submit(tasks.leave, 1).exception(10), WorkerCrashed)
            assert pool.stats().spares == 0
        assert pool.submit(tasks.same, 1).result(10) == 1
        assert pool.stats().restarts == 3


def test_more_deaths_than_spares(eventually: Eventually) -> None:
    """The spare goes on with the work within the promise; the others take the start of an interpreter, all at once."""
    served, complete = [], []
    with WorkerPool(3) as pool:
        for _ in range(5):
            eventually(lambda: has_a_warm_spare(pool) and pool.stats().ready == 3)
            victims = pool.pids
            started = time.monotonic()
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            assert [pool.submit(tasks.same, number).result(10) for number in range(9)] == list(range(9))
            served.append(time.monotonic() - started)
            eventually(partial(is_complete_without, pool, victims))
            complete.append(time.monotonic() - started)
    assert median(served) < 2 * REPLACED_SECONDS, served  # three deaths and nine tasks
    assert median(complete) < STARTED_SECONDS, complete


def test_an_initializer_runs_once_in_every_worker(tmp_path: Path, eventually: Eventually) -> None:
    with WorkerPool(2, initializer=tasks.prepare) as pool:
        eventually(lambda: pool.stats().ready == 2)
        assert {tuple(pool.submit(tasks.prepared).result(10)) for _ in range(8)} == {("once",)}
        pool.submit(tasks.leave, 1).exception(10)
        assert pool.submit(tasks.prepared).result(10) == ["once"]
