"""What one task costs beyond its own work: this pool beside the standard library's, through an event loop.

    python benchmarks/pool_overhead.py [--tasks 2000] [--rounds 5]

Each case keeps `2 * workers + 2` tasks in flight through `loop.run_in_executor`, as a crawler does. `busy loop` runs
the loop at full load besides (slices of 0.5 ms of pure Python), which is where a pool's own thread has to fight for
the GIL. Rounds of the pools alternate; the medians are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipelines.pool.pool import WorkerPool

WORKERS = 2


def size_of(batch: list[bytes]) -> int:
    """Be a task with no work."""
    return sum(map(len, batch))


def shrink(batch: list[bytes]) -> list[bytes]:
    """Be a task that gives back a fifth of what it got, as a parsed page does."""
    return [page[: len(page) // 5] for page in batch]


async def _run(executor: Executor, function: object, batch: list[bytes], tasks: int, busy: bool) -> float:
    loop = asyncio.get_running_loop()
    window = asyncio.Semaphore(2 * WORKERS + 2)
    is_over = False

    async def burn() -> None:
        while not is_over:
            until = time.perf_counter() + 0.0005
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(0)

    async def one() -> None:
        try:
            await loop.run_in_executor(executor, function, batch)  # type: ignore[arg-type]  # any of the cases
        finally:
            window.release()

    burner = asyncio.create_task(burn()) if busy else None
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            await window.acquire()
            group.create_task(one())
    seconds = time.perf_counter() - started
    is_over = True
    if burner is not None:
        await burner
    return seconds


def _cases(tasks: int) -> list[tuple[str, object, list[bytes], int, bool]]:
    small, page = [os.urandom(100_000)], [os.urandom(50_000) for _ in range(40)]
    return [
        ("100 kB", size_of, small, tasks, False),
        ("100 kB, busy loop", size_of, small, tasks // 4, True),
        ("2 MB batch", shrink, page, tasks // 10, False),
        ("2 MB batch, busy loop", shrink, page, tasks // 10, True),
    ]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    import pool_overhead as tasks_module  # workers cannot see __main__

    with WorkerPool(WORKERS) as pool, ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as stdlib:
        faces = {"WorkerPool": pool.executor(deadline=30.0), "stdlib spawn": stdlib}
        print(f"{'':24}{'':14}{'us/task':>9}{'MB/s':>8}")
        for label, function, batch, tasks, busy in _cases(options.tasks):
            function = getattr(tasks_module, function.__name__)  # type: ignore[attr-defined]  # all are plain functions
            seconds: dict[str, list[float]] = {name: [] for name in faces}
            for _ in range(options.rounds):
                for name, face in faces.items():
                    asyncio.run(_run(face, function, batch, 20, False))
                    seconds[name].append(asyncio.run(_run(face, function, batch, tasks, busy)) / tasks)
            for name, values in seconds.items():
                median = statistics.median(values)
                print(f"{label:24}{name:14}{median * 1e6:9.0f}{sum(map(len, batch)) / median / 1e6:8.0f}")


if __name__ == "__main__":
    main()
