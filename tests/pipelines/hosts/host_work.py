"""What foreign hosts (Dask, Celery, Jupyter, a console script) are given to do: each call uses a pool of its own.

They import this by name, and so do the pool's workers.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import re
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from pipelines.cpu import default_pool, run_cpu_async
from pipelines.errors import PoolClosed, TaskTimeout, WorkerCrashed
from pipelines.in_worker import run_async_in_worker
from pipelines.pool.pool import WorkerPool
from pipelines.stream import stream


def crash() -> None:
    """End the worker that runs this."""
    os.kill(os.getpid(), signal.SIGKILL)


def nap(seconds: float) -> int:
    """Take part, and say who did."""
    time.sleep(seconds)
    return os.getpid()


async def waited(number: int) -> int:
    """Return a number after some of the loop's turns."""
    await asyncio.sleep(0.01)
    return number


def through_a_pool() -> dict[str, Any]:
    """Use a pool as anybody does: results, a crash, C code past its deadline, a close. Tells what happened."""
    with WorkerPool(2) as pool:
        values = [pool.submit(math.gcd, 12, number).result(30) for number in range(4)]
        crashed = pool.submit(crash).exception(30)
        late = pool.submit(re.fullmatch, "(a+)+", "a" * 60 + "!", deadline=0.3).exception(30)
        workers = {future.result(30) for future in [pool.submit(nap, 0.1) for _ in range(4)]}
        stats = pool.stats()
    return {
        "values": values,
        "crashed": isinstance(crashed, WorkerCrashed),
        "late": isinstance(late, TaskTimeout),
        "workers": sorted(workers),
        "lost": (stats.crashes, stats.timeouts),
        "is_daemonic": bool(multiprocessing.current_process().daemon),
    }


EXPECTED = {"values": [12, 1, 2, 3], "crashed": True, "late": True, "lost": (1, 1)}


async def through_the_default_pool() -> dict[str, Any]:
    """Use the three coroutines on the loop that is there."""
    squares = [value async for value in stream(abs, range(-50, 0), ordered=True)]
    return {
        "loop": type(asyncio.get_running_loop()).__module__.partition(".")[0],
        "values": await asyncio.gather(*(run_cpu_async(math.isqrt, number) for number in (81, 100))),
        "stream": squares == list(range(50, 0, -1)),
        "in_worker": await run_async_in_worker(waited, 7),
        "workers": sorted(default_pool().pids),
        "parent": os.getpid(),
    }


def on_a_loop_of_its_own() -> dict[str, Any]:
    """Use the default pool from code without a loop, as a Celery task is; it stays for the next call."""
    return asyncio.run(through_the_default_pool())


def through_the_standard_library() -> str:
    """Do the same as others would; returns what comes of it."""
    try:
        with ProcessPoolExecutor(1) as pool:
            return str(pool.submit(math.gcd, 12, 18).result(30))
    except Exception as exc:  # noqa: BLE001 - what it raises is the finding
        return f"{type(exc).__name__}: {exc}"


_made_here = WorkerPool(1, name="made before the fork")


def through_an_inherited_pool() -> str:
    """Use a pool that was made and started in the process that this one was forked from."""
    try:
        return str(_made_here.submit(math.gcd, 12, 18).result(30))
    except PoolClosed as exc:
        return f"PoolClosed: {exc}"


def warm_up_before_the_fork() -> None:
    """Start both pools of this process, as a careless application does at import."""
    assert _made_here.submit(math.gcd, 12, 18).result(30) == 6
    assert default_pool().submit(math.gcd, 12, 18).result(30) == 6


def hold_a_pool(path: str, seconds: float) -> list[int]:
    """Keep workers busy, and write down which; for a host that is killed meanwhile."""
    pool = default_pool()
    futures = [pool.submit(nap, seconds) for _ in range(4)]
    while pool.stats().busy < 1:
        time.sleep(0.01)
    Path(path).write_text(" ".join(map(str, pool.pids)))
    return [future.result() for future in futures]
