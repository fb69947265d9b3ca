"""How many tasks and bytes are under way, who is next, and that nobody's turn is lost."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pool_tasks as tasks
import pytest

from pipelines.errors import PoolBroken, PoolClosed, TaskNotPicklable
from pipelines.pool.admission import PATIENCE_SECONDS, Admission, Ticket
from pipelines.pool.pool import WorkerPool

Eventually = Callable[[Callable[[], bool]], None]


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def admit(admission: Admission, size: int, log: list[int] | None = None) -> Ticket:
    ticket = await admission.turn()
    await admission.fit(ticket, size)
    if log is not None:
        log.append(size)
    return ticket


async def test_tasks_are_bounded_and_first_come_first_served() -> None:
    admission, log = Admission(2, 1000), list[int]()
    waiting = [asyncio.create_task(admit(admission, number, log)) for number in range(1, 6)]
    await settle()
    assert (log, admission.tasks, admission.waiting) == ([1, 2], 2, 3)
    for number in range(5):
        (await waiting[number]).release()
        await settle()
    assert log == [1, 2, 3, 4, 5]
    assert (admission.tasks, admission.bytes, admission.waiting) == (0, 0, 0)


async def test_bytes_are_bounded_and_a_large_one_is_not_overtaken() -> None:
    admission, log = Admission(10, 100), list[int]()
    first = await admit(admission, 60, log)
    waiting = [asyncio.create_task(admit(admission, size, log)) for size in (80, 10, 11)]
    await settle()
    assert log == [60], "10 would fit, but it is not its turn"
    first.release()
    await settle()
    assert log == [60, 80, 10]
    assert admission.bytes == 90
    (await waiting[0]).release()
    await settle()
    assert log == [60, 80, 10, 11]


async def test_one_larger_than_everything_goes_alone() -> None:
    admission, log = Admission(10, 100), list[int]()
    small = await admit(admission, 1, log)
    waiting = [asyncio.create_task(admit(admission, size, log)) for size in (1000, 2)]
    await settle()
    assert log == [1]
    small.release()
    await settle()
    assert log == [1, 1000]
    (await waiting[0]).release()
    await settle()
    assert log == [1, 1000, 2]


async def test_results_count_until_they_are_taken() -> None:
    admission = Admission(1, 100)
    first = await admit(admission, 10)
    second = asyncio.create_task(admit(admission, 30))
    await settle()
    first.arrived(80)  # its place is free, its bytes are more
    await settle()
    assert not second.done()
    assert (admission.tasks, admission.bytes) == (1, 80), "the second has its turn and waits for its bytes"
    first.release()
    await settle()
    assert second.done()
    assert admission.bytes == 30


@pytest.mark.parametrize("waits_for", ["its turn", "its bytes", "nothing: it was just let in"])
async def test_whoever_is_cancelled_passes_the_turn_on(waits_for: str) -> None:
    tasks_left = 1 if waits_for == "its turn" else 10
    admission, log = Admission(tasks_left, 100), list[int]()
    first = await admit(admission, 90)
    victim = asyncio.create_task(admit(admission, 50, log))
    following = asyncio.create_task(admit(admission, 20, log))
    await settle()
    if waits_for.startswith("nothing"):
        first.release()
    victim.cancel()
    await settle()
    first.release()
    await settle()
    assert log == [20]
    assert victim.cancelled()
    assert (admission.tasks, admission.bytes, admission.waiting) == (1, 20, 0)
    (await following).release()
    assert (admission.tasks, admission.bytes) == (0, 0)


async def test_giving_the_turn_up_passes_it_on() -> None:
    admission = Admission(2, 100)
    ticket = await admission.turn()
    other = asyncio.create_task(admit(admission, 5))
    await settle()
    assert not other.done(), "one at a time prepares its call"
    admission.leave(ticket)
    await settle()
    assert other.done()
    assert (admission.tasks, admission.bytes) == (1, 5)


async def test_open_lets_everybody_in() -> None:
    admission = Admission(1, 1)
    await admit(admission, 50)
    waiting = [asyncio.create_task(admit(admission, 50)) for _ in range(3)]
    await settle()
    admission.open()
    await settle()
    assert all(task.done() for task in waiting)
    await admit(admission, 50)


def test_waiters_of_other_threads_are_woken_on_their_loops() -> None:
    admission, count = Admission(2, 50), 200
    held, most = 0, 0
    lock = threading.Lock()

    async def one() -> None:
        nonlocal held, most
        ticket = await admit(admission, 20)
        with lock:
            held += 1
            most = max(most, held)
        await asyncio.sleep(0)
        with lock:
            held -= 1
        ticket.release()

    async def all_of_them() -> None:
        async with asyncio.timeout(20):
            await asyncio.gather(*(one() for _ in range(count)))

    threads = [threading.Thread(target=asyncio.run, args=(all_of_them(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert 1 <= most <= 2
    assert (admission.tasks, admission.bytes, admission.waiting) == (0, 0, 0)


def test_a_waiter_whose_loop_is_gone_loses_nothing_of_the_others() -> None:
    admission = Admission(1, 100)
    loop = asyncio.new_event_loop()
    first = loop.run_until_complete(admit(admission, 1))
    waiting: Coroutine[Any, Any, Ticket] = admit(admission, 1)
    task = loop.create_task(waiting)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert admission.waiting == 1
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # or the loop's handler tells of it
    loop.close()
    first.release()
    assert admission.tasks == 0
    del waiting, task
    gc.collect()
    assert asyncio.run(admit(admission, 1)).size == 1
    assert admission.tasks == 1


class Paused:
    """A loop that runs only when told to, with coroutines that wait for their turn."""

    def __init__(self, admission: Admission) -> None:
        self.loop, self.log = asyncio.new_event_loop(), list[int]()
        self._admission = admission
        self.waiting: list[asyncio.Task[Ticket]] = []

    def wait(self, *sizes: int) -> None:
        """Begin to wait."""
        self.waiting += [self.loop.create_task(admit(self._admission, size, self.log)) for size in sizes]
        self.loop.run_until_complete(settle())

    def finish(self) -> None:
        """Run to the end, one after the other."""

        async def all_of_them() -> None:
            async with asyncio.timeout(10):
                for task in self.waiting:
                    try:
                        (await task).release()
                    except asyncio.CancelledError:
                        assert task.cancelled()

        self.loop.run_until_complete(all_of_them())
        self.loop.close()


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_loop_that_is_paused_does_not_keep_the_turn(cancelled: bool) -> None:
    """It was next, and does not run: the others go on without it, and it is first again when it comes back."""
    admission = Admission(1, 100)
    first = asyncio.run(admit(admission, 1))
    paused, log = Paused(admission), list[int]()
    paused.wait(2, 3)

    async def others() -> None:
        async with asyncio.timeout(10):
            for ticket in [asyncio.create_task(admit(admission, size, log)) for size in (4, 5, 6)]:
                (await ticket).release()

    thread = threading.Thread(target=asyncio.run, args=(others(),))
    thread.start()
    while admission.waiting < 5:
        pass
    first.release()
    thread.join(10)
    assert log == [4, 5, 6]
    assert (admission.tasks, admission.bytes, admission.waiting) == (0, 0, 2)
    if cancelled:
        paused.waiting[0].cancel()
    paused.finish()
    assert paused.log == ([3] if cancelled else [2, 3])
    assert (admission.tasks, admission.bytes, admission.waiting) == (0, 0, 0)
    assert not admission._absent
    admission._watch(loop := asyncio.new_event_loop())
    assert admission._watching == {loop}, "loops that are closed are let go"
    loop.close()


def test_a_loop_that_is_alone_may_take_its_time() -> None:
    """Nobody waits for its turn but itself, so nothing is taken from it."""
    admission = Admission(1, 100)
    first = asyncio.run(admit(admission, 1))
    paused = Paused(admission)
    paused.wait(2, 3)
    first.release()
    time.sleep(2 * PATIENCE_SECONDS)
    assert (admission.tasks, admission.waiting) == (1, 1), "the turn is still its own"
    paused.finish()
    assert paused.log == [2, 3]


@pytest.mark.parametrize(("max_tasks", "max_bytes"), [(0, 1), (1, 0)])
def test_bounds_that_bound_nothing_are_refused(max_tasks: int, max_bytes: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        WorkerPool(1, max_tasks=max_tasks, max_bytes=max_bytes)


async def test_a_pool_holds_no_more_than_it_may() -> None:
    async with WorkerPool(2, max_tasks=3, max_bytes=250_000, spare=False) as pool:
        most = [0, 0]

        async def watch() -> None:
            while True:
                most[:] = [max(most[0], pool.admission.tasks), max(most[1], pool.admission.bytes)]
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        payloads = [bytes([number]) * 100_000 for number in range(60)]
        assert await asyncio.gather(*(pool.run(tasks.same, payload) for payload in payloads)) == payloads
        watching.cancel()
        assert most[0] == 3
        assert 100_000 < most[1] < 500_000, "calls stay below; results of what was admitted come on top"
        assert (pool.admission.tasks, pool.admission.bytes) == (0, 0)


async def test_every_end_gives_its_place_back(pool: WorkerPool) -> None:
    face = pool.limited(deadline=0.2)
    for function, argument in [(tasks.leave, 1), (tasks.fail, "what"), (tasks.pid_after, 5.0), (tasks.same, 1)]:
        await face.outcome(function, argument)
    with pytest.raises(TaskNotPicklable):
        await face.run(tasks.same, lambda: None)
    assert (pool.admission.tasks, pool.admission.bytes, pool.admission.waiting) == (0, 0, 0)


async def test_closing_and_breaking_tell_those_who_wait() -> None:
    for preload, error in [((), PoolClosed), (("no_such_module_anywhere",), PoolBroken)]:
        pool = WorkerPool(1, max_tasks=1, preload=preload)
        waiting = [asyncio.create_task(pool.run(tasks.pid_after, 0.2)) for _ in range(4)]
        if error is PoolClosed:
            await asyncio.sleep(0.05)
            assert await pool.aclose() == []
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results[1:]] == [error] * 3
        await pool.aclose()


def test_one_pool_serves_several_loops(pool: WorkerPool) -> None:
    results: dict[int, list[object]] = {}

    async def work(start: int) -> None:
        results[start] = await asyncio.gather(*(pool.run(tasks.same, start + number) for number in range(40)))

    threads = [threading.Thread(target=lambda start=start: asyncio.run(work(start))) for start in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results == {start: list(range(start, start + 40)) for start in (0, 100, 200)}
