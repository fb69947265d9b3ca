"""One function for work that computes, one for calls that block; what they need is made once and closed cleanly."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import stream_tasks as tasks

from pipelines.cpu import close_default_pool, default_pool, run_blocking, run_cpu_async, set_default_pool
from pipelines.cpus import available_cpus
from pipelines.errors import PoolClosed, TaskNotPicklable, WorkerCrashed, WorkerOutOfMemory
from pipelines.in_worker import run_async_in_worker
from pipelines.memory import MemoryLimit, share_of_memory
from pipelines.pool.pool import WorkerPool
from pipelines.stream import stream
from tests.support.leftovers import nothing_left

CPUS = available_cpus()
SHARE = share_of_memory(CPUS.count)


@pytest.fixture(autouse=True)
async def leaves_nothing() -> AsyncIterator[None]:
    with nothing_left():
        yield
        await close_default_pool()


# -- run_cpu_async


async def test_any_function_runs_in_another_process() -> None:
    assert await run_cpu_async(tasks.pid) != os.getpid()
    assert await run_cpu_async(divmod, 7, 2) == (3, 1)


async def test_all_keywords_are_the_functions_own() -> None:
    """Also those that other ways into a pool take for themselves."""
    args, kwargs = await run_cpu_async(tasks.described, 1, func=2, fn=3, deadline=4, self=5)
    assert (args, kwargs) == ((1,), {"func": 2, "fn": 3, "deadline": 4, "self": 5})


async def test_errors_come_with_the_traceback_of_the_worker() -> None:
    with pytest.raises(ValueError, match="why") as caught:
        await run_cpu_async(tasks.fail, "why")
    assert "in fail" in str(caught.value.__cause__)
    with pytest.raises(TaskNotPicklable, match="lambda"):
        await run_cpu_async(lambda: 1)
    with pytest.raises(WorkerCrashed, match="SIGSEGV"):
        await run_cpu_async(tasks.die_at_culprit, tasks.CULPRIT)
    assert await run_cpu_async(tasks.square, 3) == 9


async def test_cancelling_stops_the_work(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    call = asyncio.create_task(run_cpu_async(tasks.sleep_and_mark, str(mark)))
    until = time.monotonic() + 5
    while not (mark.exists() and mark.read_text()):
        await asyncio.sleep(0.01)
        assert time.monotonic() < until
    started = time.monotonic()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    results = await asyncio.gather(*(run_cpu_async(tasks.square, number) for number in range(8)))
    assert results == [number**2 for number in range(8)]
    assert time.monotonic() - started < 2.5
    assert mark.read_text() == "start\n"


# -- the default pool


async def test_the_pool_is_made_once_with_a_worker_for_every_cpu(caplog: pytest.LogCaptureFixture) -> None:
    pools: list[WorkerPool] = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        pools.append(default_pool())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    with caplog.at_level(logging.INFO, logger="pipelines"):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(pools)) == 1
    assert pools[0].workers == CPUS.count
    assert [record.getMessage() for record in caplog.records if "default pool" in record.getMessage()] == [
        f"default pool: {CPUS.count} workers ({CPUS.why}), each of {SHARE.bytes >> 20} MiB ({SHARE.why})"
    ]


async def test_a_worker_has_its_share_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_pool().memory_limit == SHARE.bytes
    await close_default_pool()
    monkeypatch.setattr("pipelines.cpu.share_of_memory", lambda _workers: MemoryLimit(100 << 20, "a test"))
    with pytest.raises(WorkerOutOfMemory, match=r"tasks\.hoard took too much memory: RSS \d+ MiB above 100 MiB"):
        await run_cpu_async(tasks.hoard, 200)
    space, _ = await run_cpu_async(resource.getrlimit, resource.RLIMIT_AS)
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    assert space in (sys.maxsize, soft), "what a library reserves without using it is its own affair"


async def test_where_nobody_knows_the_memory_there_is_no_limit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown(_workers: int) -> MemoryLimit:
        raise OSError("this system does not tell")

    monkeypatch.setattr("pipelines.cpu.share_of_memory", unknown)
    with caplog.at_level(logging.INFO, logger="pipelines"):
        assert default_pool().memory_limit is None
    assert caplog.messages == [
        f"default pool: {CPUS.count} workers ({CPUS.why}), without a memory limit: this system does not tell"
    ]


def test_a_pool_without_a_number_says_why_it_has_so_many(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="pipelines"):
        assert WorkerPool(name="mine").workers == CPUS.count
        WorkerPool(3, name="told")
    assert caplog.messages == [f"mine: {CPUS.count} workers ({CPUS.why})"]


async def test_a_closed_default_pool_is_made_again() -> None:
    pool = default_pool()
    assert await run_cpu_async(tasks.square, 3) == 9
    await close_default_pool()
    with pytest.raises(PoolClosed):
        pool.submit(tasks.square, 3)
    assert await run_cpu_async(tasks.square, 3) == 9
    assert default_pool() is not pool
    await close_default_pool()
    await close_default_pool()


async def test_a_pool_that_was_set_is_used_by_all_and_stays_the_callers() -> None:
    async with WorkerPool(1) as pool:
        assert set_default_pool(pool) is None
        pid = await run_cpu_async(tasks.pid)
        assert pid in pool.pids
        assert [value async for value in stream(tasks.square, [3])] == [9]
        assert await run_async_in_worker(tasks.add_slowly, 1, 2) == 3
        assert pool.stats().done == 3
        await close_default_pool()
        assert await pool.run(tasks.square, 3) == 9
    assert set_default_pool(None) is None


# -- run_blocking


async def test_blocking_calls_run_beside_the_loop_and_each_other() -> None:
    started = time.monotonic()
    await asyncio.gather(*(run_blocking(time.sleep, 0.2) for _ in range(10)))
    assert time.monotonic() - started < 1


async def test_context_variables_are_carried_along() -> None:
    tasks.WHO.set("the caller")
    name, who = await run_blocking(tasks.thread_and_variable)
    assert name.startswith("blocking-")
    assert who == "the caller"


async def test_no_exception_hangs_whoever_waits() -> None:
    with pytest.raises(ValueError, match="why"):
        await run_blocking(tasks.fail, "why")
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        await asyncio.wait_for(run_blocking(tasks.stop_iteration), 5)
    args, kwargs = await run_blocking(tasks.described, 1, func=2, name=3, self=4)
    assert (args, kwargs) == ((1,), {"func": 2, "name": 3, "self": 4})


async def test_a_cancelled_call_comes_back_at_once_and_runs_on() -> None:
    gate, done = threading.Event(), threading.Event()

    def work() -> None:
        gate.wait(5)
        done.set()

    call = asyncio.create_task(run_blocking(work))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(call, 1)
    gate.set()
    assert await run_blocking(done.wait, 5)


async def test_closing_waits_for_threads_within_the_time_given() -> None:
    gate = threading.Event()
    call = asyncio.create_task(run_blocking(gate.wait, 5))
    await asyncio.sleep(0.05)
    started = time.monotonic()
    await close_default_pool(timeout=0.1)
    assert 0.09 < time.monotonic() - started < 1
    gate.set()
    assert await call
    assert await run_blocking(int, "3") == 3, "made again"


# -- the process around it

PROGRAM = """
import asyncio, os, sys, time
from pipelines.cpu import default_pool, run_blocking, run_cpu_async
async def main():
    print(await run_cpu_async(divmod, 7, 2), flush=True)
    pid = os.fork() if "fork" in sys.argv else None
    if pid == 0:
        os._exit(child())
    if pid:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        print(await run_cpu_async(divmod, 9, 2), flush=True)
    print(*default_pool().pids, flush=True)
    if "busy" in sys.argv:
        asyncio.create_task(run_cpu_async(time.sleep, 30))
        await asyncio.sleep(0.2)
def child():
    before = default_pool()
    assert before.pids == ()
    async def inside():
        assert await run_cpu_async(divmod, 8, 2) == (4, 0)
        assert await run_blocking(divmod, 8, 2) == (4, 0)
    loop = asyncio.new_event_loop()
    asyncio.events._set_running_loop(None)
    loop.run_until_complete(inside())
    before.close()
    return 0
asyncio.run(main())
"""


@pytest.mark.parametrize("way", ["idle", "busy", "fork"])
def test_a_program_just_ends(way: str) -> None:
    """Nothing has to be closed; no worker is left; a forked child has a pool of its own."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM, way],  # 3.12 warns of every fork
        capture_output=True, text=True, timeout=30, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - started < 10
    *printed, pids = done.stdout.splitlines()
    assert printed == ["(3, 1)", "(4, 1)"][: 2 if way == "fork" else 1]
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids.split())
