"""Results that nobody has taken count, so that those who come later wait; one alone can be given a limit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pool_tasks as tasks
import pytest

from pipelines.errors import RemoteError, ResultTooLarge
from pipelines.pool.forkserver import CAN_FORK
from pipelines.pool.outcome import Status
from pipelines.pool.pool import WorkerPool

Eventually = Callable[[Callable[[], bool]], None]
MIB = 1 << 20


def test_results_that_are_not_taken_keep_others_out(eventually: Eventually) -> None:
    """The calls are small, so their own bytes would let everybody in."""
    max_tasks, max_bytes, megabytes = 4, MIB, 2
    gate, lengths = threading.Event(), list[int]()
    with WorkerPool(2, max_tasks=max_tasks, max_bytes=max_bytes, spare=False) as pool:

        async def consume() -> None:
            calls = [asyncio.create_task(pool.run(tasks.big_result_after, 0.3, megabytes)) for _ in range(max_tasks)]
            while pool.admission.tasks < max_tasks:  # noqa: ASYNC110 - the pool's own figures
                await asyncio.sleep(0.001)
            gate.wait(20)  # the loop is held up: it takes nothing
            lengths.extend([len(await call) for call in calls])

        async def come_later() -> object:
            async with asyncio.timeout(0.5):
                return await pool.run(tasks.same, "let in")

        consumer = threading.Thread(target=asyncio.run, args=(consume(),))
        consumer.start()
        try:
            eventually(lambda: pool.stats().done == max_tasks)
            with pytest.raises(TimeoutError):
                asyncio.run(come_later())
            results = max_tasks * megabytes * MIB
            assert results <= pool.admission.bytes <= max_bytes + results + 1000, "the bound that docs/pools.md tells"
        finally:
            gate.set()
            consumer.join(20)
        assert lengths == [megabytes * MIB] * max_tasks
        assert asyncio.run(come_later()) == "let in"
        assert (pool.admission.tasks, pool.admission.bytes) == (0, 0)


@pytest.mark.parametrize(
    "forkserver", [False, pytest.param(True, marks=pytest.mark.skipif(not CAN_FORK, reason="needs pidfd (Linux 5.3)"))]
)
async def test_a_result_above_the_limit_is_not_sent(forkserver: bool) -> None:
    async with WorkerPool(1, max_result_bytes=MIB, forkserver=forkserver, spare=False) as pool:
        pid = await pool.run(tasks.pid_after, 0)
        outcome = await pool.outcome(tasks.big_result, 3)
        assert outcome.status is Status.ERROR
        with pytest.raises(ResultTooLarge, match=r"pool_tasks\.big_result: its result has 3,145,7\d\d bytes") as caught:
            outcome.unwrap()
        assert "this pool lets 1,048,576 through (max_result_bytes); return less" in str(caught.value)
        assert len(await pool.run(bytes, MIB - 1000)) == MIB - 1000
        assert await pool.run(tasks.pid_after, 0) == pid, "the worker is none the worse"
        assert (pool.stats().errors, pool.stats().restarts) == (1, 0)


async def test_what_a_task_raises_has_the_same_limit() -> None:
    async with WorkerPool(1, max_result_bytes=100_000, spare=False) as pool:
        with pytest.raises(ValueError, match=r"^x{1000}$"):
            await pool.run(tasks.fail_at_length, 1000)
        with pytest.raises(RemoteError, match=r"^ValueError: xxx") as caught:
            await pool.run(tasks.fail_at_length, 5 * MIB)
        assert len(str(caught.value)) + len(str(caught.value.__cause__)) < 100_000
        assert "larger than the 100,000 bytes that a result may have" in str(caught.value.__cause__)


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="max_result_bytes: expected at least 1, got 0"):
        WorkerPool(1, max_result_bytes=0)
