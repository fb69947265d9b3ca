"""`run_cpu` computes in another process, and only where that was declared."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import PoolClosed, TaskTimeout, WorkerCrashed
from pipelines.pool.pool import WorkerPool
from pipelines.tasks import BackgroundTaskManager, NotCpuBound, State, TaskContext, task

Manage = Callable[..., BackgroundTaskManager]
FOREVER = 3600


def children() -> set[int]:
    found = set()
    for each in Path("/proc/self/task").iterdir():
        try:
            found |= {int(pid) for pid in (each / "children").read_text().split()}
        except OSError:
            continue  # the thread ended meanwhile
    return found


async def test_the_work_runs_in_another_process(manage: Manage) -> None:
    pids: list[int] = []

    @task(cpu_bound=True, startup="wait")
    async def computes(context: TaskContext) -> None:
        pids.extend(await asyncio.gather(*(context.run_cpu(os.getpid) for _ in range(4))))

    manager = manage(computes, workers=1)
    await manager.start()
    assert len(pids) == 4
    assert os.getpid() not in pids
    assert set(pids) <= children()
    await manager.stop()
    assert not set(pids) & children(), "the pool the manager made is gone with it"


async def test_the_loop_stays_free_while_it_computes(manage: Manage) -> None:
    """`sum` over a range holds the interpreter lock in C all the time: in a thread it would stop the loop too."""
    took: list[float] = []

    @task(cpu_bound=True)
    async def computes(context: TaskContext) -> None:
        await context.run_cpu(os.getpid)
        context.ready()
        began = time.monotonic()
        assert await context.run_cpu(sum, range(40_000_000)) == 799_999_980_000_000
        took.append(time.monotonic() - began)

    manager = manage(computes, workers=1)
    await manager.start()
    gaps, last = [0.0], time.monotonic()
    while not took:
        await asyncio.sleep(0.002)
        now = time.monotonic()
        gaps.append(now - last)
        last = now
        assert manager.status()["computes"].state is not State.FAILED
    assert max(gaps) < took[0] / 2


async def test_workers_warm_up_while_the_service_starts(manage: Manage, until: Any) -> None:
    before = children()

    @task(cpu_bound=True)
    async def computes(context: TaskContext) -> None:
        await asyncio.sleep(FOREVER)

    await manage(computes, workers=1).start()
    await until(lambda: bool(children() - before))


async def test_keywords_are_those_of_the_function(manage: Manage) -> None:
    found: list[object] = []

    @task(cpu_bound=True, startup="wait")
    async def computes(context: TaskContext) -> None:
        found.append(await context.run_cpu(int, "ff", base=16))
        found.append(await context.run_cpu(dict, deadline=1, fn=2))

    await manage(computes, workers=1).start()
    assert found == [255, {"deadline": 1, "fn": 2}]


async def test_who_did_not_declare_it_has_no_pool(manage: Manage, until: Any) -> None:
    before = children()

    @task()
    async def plain(context: TaskContext) -> None:
        await context.run_cpu(os.getpid)

    manager = manage(plain)
    await manager.start()
    await until(lambda: manager.status()["plain"].state is State.FAILED)
    error = manager.status()["plain"].error
    assert isinstance(error, NotCpuBound)
    assert str(error) == "task 'plain': run_cpu needs a pool; declare it with @task(cpu_bound=True)"
    assert children() <= before, "no process is started for those who need none"


async def test_a_pool_that_is_given_stays_open(manage: Manage) -> None:
    pids: list[int] = []

    @task(cpu_bound=True, startup="wait")
    async def computes(context: TaskContext) -> None:
        pids.append(await context.run_cpu(os.getpid))

    async with WorkerPool(1) as pool:
        async with manage(computes, pool=pool):
            pass
        assert pids == [pool.submit(os.getpid).result(10)]


async def test_work_of_a_task_that_ends_is_stopped_in_a_pool_that_is_given(manage: Manage, until: Any) -> None:
    """A worker that computes for nobody would be missing for the others."""

    @task(cpu_bound=True)
    async def computes(context: TaskContext) -> None:
        await context.run_cpu(time.sleep, FOREVER)

    async with WorkerPool(1) as pool:
        async with manage(computes, pool=pool):
            await until(lambda: pool.stats().busy == 1)
        assert await asyncio.wait_for(pool.run(math.sqrt, 9.0), 10) == 3.0


async def test_a_deadline_for_all_that_the_tasks_compute(manage: Manage, until: Any) -> None:
    @task(cpu_bound=True)
    async def computes(context: TaskContext) -> None:
        await context.run_cpu(sum, range(10**12))

    async with WorkerPool(1) as pool:
        manager = manage(computes, pool=pool.limited(deadline=0.1))
        await manager.start()
        await until(lambda: manager.status()["computes"].state is State.FAILED)
        assert isinstance(manager.status()["computes"].error, TaskTimeout)
        await manager.stop()


async def test_any_executor_will_do(manage: Manage) -> None:
    found: list[float] = []

    @task(cpu_bound=True, startup="wait")
    async def computes(context: TaskContext) -> None:
        found.append(await context.run_cpu(math.sqrt, 9.0))

    with ThreadPoolExecutor(1) as executor:
        async with manage(computes, pool=executor):
            pass
    assert found == [3.0]


async def test_a_dead_worker_is_an_error_of_the_task_which_begins_again(manage: Manage, until: Any) -> None:
    results: list[int] = []

    @task(cpu_bound=True, restart="on_error")
    async def computes(context: TaskContext) -> None:
        if context.restarts == 0:
            await context.run_cpu(os._exit, 3)
        results.append(await context.run_cpu(os.getpid))

    manager = manage(computes, workers=1)
    await manager.start()
    await until(lambda: bool(results))
    assert isinstance(manager.status()["computes"].error, WorkerCrashed)


async def test_a_stop_does_not_wait_for_work_in_the_pool(manage: Manage, until: Any) -> None:
    """Its worker is killed: work nobody waits for any more must not hold up the end."""
    pids: list[int] = []

    @task(cpu_bound=True, shutdown_timeout=20)
    async def computes(context: TaskContext) -> None:
        pids.append(await context.run_cpu(os.getpid))
        await context.run_cpu(time.sleep, FOREVER)

    manager = manage(computes, workers=1)
    await manager.start()
    await until(lambda: bool(pids))
    report = await manager.stop()
    assert report.cancelled == ("computes",)
    assert report.seconds < 5
    assert not set(pids) & children()


async def test_a_straggler_gets_no_pool_any_more(until: Any) -> None:
    """It would be made for it and never closed."""
    before, release, found = children(), asyncio.Event(), list[BaseException]()

    @task(cpu_bound=True, startup="wait", shutdown_timeout=0.05)
    async def stubborn(context: TaskContext) -> None:
        context.ready()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                pass  # what makes it a straggler
        try:
            await context.run_cpu(os.getpid)
        except PoolClosed as exc:
            found.append(exc)

    manager = BackgroundTaskManager(stubborn, workers=1)
    await manager.start()
    await until(lambda: bool(children() - before))
    assert (await manager.stop()).stragglers == ("stubborn",)
    release.set()
    await until(lambda: bool(found))
    assert str(found[0]) == "tasks has stopped"
    assert children() <= before


async def test_a_second_start_makes_a_new_pool(manage: Manage) -> None:
    pids: list[int] = []

    @task(cpu_bound=True, startup="wait")
    async def computes(context: TaskContext) -> None:
        pids.append(await context.run_cpu(os.getpid))

    manager = manage(computes, workers=1)
    for _ in range(2):
        async with manager:
            pass
    assert len(set(pids)) == 2


async def test_endpoints_use_the_same_pool(manage: Manage) -> None:
    @task(cpu_bound=True, startup="wait")
    async def computes(context: TaskContext) -> None:
        pids.append(await context.run_cpu(os.getpid))

    pids: list[int] = []
    manager = manage(computes, workers=1)
    with pytest.raises(RuntimeError, match="does not run"):
        await manager.run_cpu(os.getpid)
    async with manager:
        assert await manager.run_cpu(os.getpid) == pids[0]
    with pytest.raises(RuntimeError, match="does not run"):
        await manager.run_cpu(os.getpid)
