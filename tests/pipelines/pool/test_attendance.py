"""An event loop takes the answers it waits for; and whenever it does not, the supervisor does."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path

import pool_tasks as tasks
import pytest
import uvloop

from pipelines.errors import WorkerCrashed
from pipelines.pool import process
from pipelines.pool.attendance import LOOK_SECONDS
from pipelines.pool.pool import WorkerPool
from pipelines.pool.tally import Tally
from pipelines.pool.task import TaskFuture
from tests.support.leftovers import nothing_left

Run = Callable[[Coroutine[object, object, None]], None]
Eventually = Callable[[Callable[[], bool]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    return asyncio.run if request.param == "asyncio" else uvloop.run


def taker(future: Future[object] | TaskFuture[object]) -> list[int]:
    """Return a list to which the thread is added that settles a future."""
    threads: list[int] = []
    future.add_done_callback(lambda _: threads.append(threading.get_ident()))
    return threads


async def until_done(future: TaskFuture[object]) -> None:
    while not future.done():  # noqa: ASYNC110 - wrapping it would add a callback of its own
        await asyncio.sleep(0.001)


def test_the_loop_that_waits_takes_the_answers(pool: WorkerPool, run: Run) -> None:
    async def main() -> None:
        me = threading.get_ident()
        assert await pool.run(tasks.same, 1) == 1
        takers: list[int] = []
        for n in range(50):
            future = pool.submit(tasks.same, n)
            threads = taker(future)
            await until_done(future)
            takers += threads
        assert takers.count(me) >= 5, "on a busy machine the supervisor may meet many at its look"
        answers = await asyncio.gather(*(pool.run(tasks.same, n) for n in range(200)))
        assert answers == list(range(200))

    run(main())
    threads = taker(future := pool.submit(tasks.pid_after, 0.1))
    assert future.result(10) in pool.pids
    assert threads == [pool.supervisor().thread.ident], "the loop is gone"


def test_others_are_answered_while_the_loop_is_blocked(pool: WorkerPool, run: Run) -> None:
    blocked, done = threading.Event(), threading.Event()
    waits: list[float] = []

    async def main() -> None:
        me = threading.get_ident()
        await pool.run(tasks.same, 1)
        blocked.set()
        assert done.wait(10)
        await asyncio.sleep(0)
        threads: list[int] = []
        while threads != [me]:  # it comes back
            threads = taker(future := pool.submit(tasks.same, 1))
            await until_done(future)

    def other() -> None:
        blocked.wait(10)
        for n in range(20):
            began = time.monotonic()
            assert pool.submit(tasks.same, n).result(10) == n
            waits.append(time.monotonic() - began)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    run(main())
    thread.join(10)
    assert len(waits) == 20
    assert sorted(waits)[10] < LOOK_SECONDS, "only the first one or two wait for the look"


def test_a_blocked_loop_may_wait_for_its_own_task_from_the_first_one_on(run: Run) -> None:
    """As a cell of a notebook does. Nothing but the look notices even that the workers have become ready."""

    async def main() -> None:
        with WorkerPool(2) as pool:
            for n in range(5):
                assert pool.submit(tasks.same, n).result(10) == n

    run(main())


def test_an_answer_in_time_is_in_time_however_late_the_loop_comes(pool: WorkerPool, run: Run) -> None:
    async def main() -> None:
        limited = pool.limited(deadline=1.0)
        assert await limited.run(tasks.same, 1) == 1
        call = asyncio.create_task(limited.outcome(tasks.pid_after, 0.05))
        while pool.stats().busy < 1:  # noqa: ASYNC110 - the pool's own figures
            await asyncio.sleep(0.001)
        time.sleep(2.0)  # noqa: ASYNC251 - the loop is held up
        assert (await call).status == "ok"

    run(main())


def test_a_loop_that_is_held_up_saves_nobody_from_his_deadline(pool: WorkerPool, run: Run) -> None:
    async def main() -> None:
        await pool.run(tasks.same, 1)
        future = pool.submit(tasks.catastrophic, deadline=0.2)
        began = time.monotonic()
        while not future.done() and time.monotonic() < began + 5:
            time.sleep(0.001)  # noqa: ASYNC251 - the loop is held up
        assert time.monotonic() - began < 0.45
        assert future.exception() is not None

    run(main())


def test_loops_come_and_go(run: Run) -> None:
    with WorkerPool(2, spare=False) as pool:

        async def once(number: int) -> None:
            assert await pool.run(tasks.same, number) == number

        run(once(0))
        while pool.stats().ready < 2:
            time.sleep(0.01)
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        for number in range(30):
            run(once(number))
        assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors


def test_several_loops_at_once(pool: WorkerPool, run: Run) -> None:
    async def many() -> None:
        for _ in range(10):
            answers = await asyncio.gather(*(pool.run(tasks.same, n) for n in range(20)))
            assert answers == list(range(20))

    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(run, many()) for _ in range(8)]:
            future.result(30)


def test_another_loop_takes_over_from_one_that_is_paused(pool: WorkerPool) -> None:
    paused = asyncio.new_event_loop()
    try:
        assert paused.run_until_complete(pool.run(tasks.same, 1)) == 1

        async def main() -> None:
            me, threads = threading.get_ident(), list[int]()
            until = time.monotonic() + 5
            while threads != [me]:
                assert time.monotonic() < until
                threads = taker(future := pool.submit(tasks.same, 1))
                await until_done(future)

        asyncio.run(main())
        assert paused.run_until_complete(pool.run(tasks.same, 2)) == 2
    finally:
        paused.close()


@pytest.mark.parametrize("close", ["close", "aclose", "forget"])
def test_nothing_is_left_on_a_loop_that_goes_on(close: str, run: Run) -> None:
    async def main() -> None:
        with nothing_left():
            pool = WorkerPool(2)
            await asyncio.gather(*(pool.run(tasks.same, n) for n in range(20)))
            if close == "close":
                pool.close()
            elif close == "aclose":
                await pool.aclose()
            else:
                gone = weakref.ref(pool)
                del pool
                while gone() is not None:
                    gc.collect()
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.05)
        read, write = os.pipe()  # they get the numbers that have become free
        asyncio.get_running_loop().add_reader(read, os.read, read, 1)
        asyncio.get_running_loop().remove_reader(read)
        os.close(read)
        os.close(write)

    run(main())


def test_tasks_are_finished_while_a_loop_blocks_in_the_close(run: Run) -> None:
    async def main() -> None:
        pool = WorkerPool(2)
        await pool.run(tasks.same, 1)
        futures = [pool.submit(tasks.pid_after, 0.01) for _ in range(20)]
        assert pool.close(timeout=10) == []
        assert all(future.exception(0) is None for future in futures)

    run(main())


def test_a_callback_may_close_the_pool(run: Run) -> None:
    async def main() -> None:
        pool = WorkerPool(2)
        await pool.run(tasks.same, 1)
        ends: list[list[str]] = []
        future = pool.submit(tasks.same, 2)
        future.add_done_callback(lambda _: ends.append(pool.close()))
        while not ends:  # noqa: ASYNC110 - a callback is what is tested
            await asyncio.sleep(0.01)
        assert ends == [[]]

    run(main())


def test_a_callback_that_takes_answers_itself_mixes_nothing_up(pool: WorkerPool) -> None:
    """A loop inside the loop (as in some notebooks) would use the memory in which further answers lie."""

    async def main() -> None:
        await pool.run(tasks.same, 1)
        attendance = pool.supervisor().attendance
        (attendant,) = [attendance._attendant]
        assert attendant is not None
        futures = [pool.submit(tasks.same, bytes([n]) * 3000) for n in range(100)]
        for future in futures:
            future.add_done_callback(lambda _: attendance.called(attendant))
        for n, future in enumerate(futures):
            await until_done(future)
            assert future.result() == bytes([n]) * 3000

    asyncio.run(main())


def test_ctrl_c_while_an_answer_is_taken_leaves_nobody_waiting(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hit between any two steps: that answer is lost, and the worker's death answers what it had begun."""
    main_thread, futures = threading.get_ident(), list[TaskFuture[object]]()
    count = Tally.answered

    def interrupted(*args: object) -> None:
        if threading.get_ident() == main_thread and futures:
            monkeypatch.setattr(Tally, "answered", count)
            raise KeyboardInterrupt
        count(*args)  # type: ignore[arg-type]  # passed on

    async def main() -> None:
        await pool.run(tasks.same, 1)
        monkeypatch.setattr(Tally, "answered", interrupted)
        futures.extend(pool.submit(tasks.same, n) for n in range(10))
        await asyncio.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    lost = [future for future in futures if not isinstance(future.exception(10), WorkerCrashed | None)]
    assert lost == []
    assert 1 <= sum(future.exception() is not None for future in futures) <= 2
    assert pool.submit(tasks.same, 1).result(10) == 1


def test_a_loop_that_waits_for_no_files_is_served(pool: WorkerPool) -> None:
    class Loop(asyncio.SelectorEventLoop):
        asked = 0

        def add_reader(self, *_: object) -> None:
            type(self).asked += 1
            raise NotImplementedError

    async def main() -> None:
        for n in range(5):
            assert await pool.run(tasks.same, n) == n

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
    assert Loop.asked == 1


def test_callbacks_do_not_see_the_context_of_whoever_came_first(pool: WorkerPool, run: Run) -> None:
    user: ContextVar[str] = ContextVar("user", default="nobody")
    seen: list[str] = []

    async def main() -> None:
        user.set("the first one")
        await pool.run(tasks.same, 1)
        future = pool.submit(tasks.same, 1)
        future.add_done_callback(lambda _: seen.append(user.get()))
        await until_done(future)

    run(main())
    assert seen == ["nobody"]


def test_a_death_is_noticed_by_its_end_of_file_alone(
    monkeypatch: pytest.MonkeyPatch, eventually: Eventually, run: Run
) -> None:
    monkeypatch.setattr(process, "HAS_PIDFD", False)

    async def main() -> None:
        async with WorkerPool(2) as pool:
            await pool.run(tasks.same, 1)
            with pytest.raises(WorkerCrashed):
                await pool.run(tasks.die, signal.SIGKILL)
            for pid in pool.pids:
                os.kill(pid, signal.SIGKILL)
            answers = await asyncio.gather(*(pool.run(tasks.same, n) for n in range(20)))
            assert answers == list(range(20))

    run(main())


def test_in_a_fork_the_loop_takes_nothing(pool: WorkerPool) -> None:
    async def main() -> None:
        await pool.run(tasks.same, 1)
        attendance = pool.supervisor().attendance
        attendance._pid = -1  # as seen from a fork
        assert await pool.run(tasks.same, 2) == 2, "the supervisor does"
        attendance._pid = os.getpid()

    asyncio.run(main())
