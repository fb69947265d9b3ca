"""A loop is woken once for all that is done by then, and nobody is forgotten."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any

import pool_tasks as tasks
import pytest
import uvloop

from pipelines.pool import bell as module
from pipelines.pool.bell import Bell, bell_of
from pipelines.pool.pool import WorkerPool


async def test_a_busy_loop_is_woken_once_for_many_results(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    async with WorkerPool(2, max_tasks=100, spare=False) as pool:
        assert await pool.run(tasks.same, 0) == 0
        waiting = [asyncio.create_task(pool.run(tasks.same, number)) for number in range(40)]
        await asyncio.sleep(0)  # all of them are sent or queued now
        calls, call = list[object](), loop.call_soon_threadsafe

        def counted(*args: Any) -> asyncio.Handle:
            calls.append(args)
            return call(*args)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        until = time.monotonic() + 10
        while pool.stats().ok < 41:
            assert time.monotonic() < until
            time.sleep(0.01)  # noqa: ASYNC251 - this loop is the busy one
        time.sleep(0.1)  # noqa: ASYNC251 - the last is settled a moment after it was counted
        assert len(calls) <= 1
        assert await asyncio.gather(*waiting) == list(range(40))


def test_rung_from_many_threads_nobody_is_forgotten() -> None:
    async def main() -> None:
        loop, bell = asyncio.get_running_loop(), Bell()
        waiters = [loop.create_future() for _ in range(4000)]

        def ring(part: int) -> None:
            for waiter in waiters[part::8]:
                bell.ring(loop, waiter)

        threads = [threading.Thread(target=ring, args=(part,)) for part in range(8)]
        for thread in threads:
            thread.start()
        async with asyncio.timeout(10):
            await asyncio.gather(*waiters)
        for thread in threads:
            thread.join()

    asyncio.run(main())


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_loop_that_is_gone_takes_its_bell_along(factory: type[asyncio.AbstractEventLoop]) -> None:
    loop = factory()
    waiter: asyncio.Future[None] = loop.create_future()
    bell = bell_of(loop)
    assert bell_of(loop) is bell
    before = len(module._bells)
    loop.close()
    bell.ring(loop, waiter)
    bell.ring(loop, waiter)
    assert not waiter.done()
    del loop, waiter
    gc.collect()
    assert len(module._bells) < before


async def test_a_loop_that_took_the_answer_itself_is_not_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write to its own pipe, and a read of it, for each answer."""
    loop, bell = asyncio.get_running_loop(), Bell()
    calls = list[object]()
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: calls.append(args))
    waiter, late = loop.create_future(), loop.create_future()
    bell.ring(loop, waiter)
    await asyncio.wait_for(waiter, 1)
    late.cancel()
    bell.ring(loop, late)
    assert calls == []
