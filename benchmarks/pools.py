"""Worker pools side by side: what a task costs beyond its own work, what a start costs, and what a dead worker costs.

    python benchmarks/pools.py [--tasks 1000] [--rounds 5]          # figures; the others: `pip install '.[bench]'`
    python benchmarks/pools.py --deaths                             # what each does when a worker dies or hangs

Two workers each. Every case keeps `2 * workers + 2` tasks in flight from an event loop, as a crawler does; joblib,
which has no futures, gets them all at once. Pools take turns within each round, medians are printed. A
pool that is not installed is left out, and named on stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pool_tasks

from pipelines.pool.pool import WorkerPool

WORKERS = 2
WINDOW = 2 * WORKERS + 2
Function = Callable[[Any], Any]


class Contender:
    """One kind of pool, open."""

    name = ""

    async def run(self, function: Function, argument: Any) -> Any:
        """Run one task."""
        raise NotImplementedError

    def close(self) -> None:
        """End it, running tasks included."""


class Futures(Contender):
    """Anything with the face of an executor."""

    def __init__(self, name: str, executor: Executor, close: Callable[[], object]) -> None:
        self.name, self._executor, self.close = name, executor, close  # type: ignore[method-assign]  # a closure each

    async def run(self, function: Function, argument: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, argument)


class Ours(Futures):
    def __init__(self) -> None:
        self._pool = WorkerPool(WORKERS)
        super().__init__("pipelines.pool", self._pool.executor(deadline=2.0), self._pool.kill)


class Stdlib(Futures):
    def __init__(self, method: str) -> None:
        pool = ProcessPoolExecutor(WORKERS, mp_context=get_context(method))
        super().__init__(f"stdlib {method}", pool, partial(_end_stdlib, pool))


def _end_stdlib(pool: ProcessPoolExecutor) -> None:
    # It has no other way to end what hangs, before Python 3.14.
    processes = list((pool._processes or {}).values())  # noqa: SLF001  # see above
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()


class Loky(Futures):
    def __init__(self) -> None:
        from loky import ProcessPoolExecutor as LokyExecutor

        pool = LokyExecutor(WORKERS)
        super().__init__("loky", pool, partial(pool.shutdown, wait=False, kill_workers=True))


class Pebble(Contender):
    name = "Pebble"

    def __init__(self) -> None:
        from pebble import ProcessPool

        self._pool = ProcessPool(WORKERS, context=get_context("spawn"))

    async def run(self, function: Function, argument: Any) -> Any:
        return await asyncio.wrap_future(self._pool.schedule(function, args=[argument], timeout=2.0))

    def close(self) -> None:
        self._pool.stop()
        self._pool.join()


class Anyio(Contender):
    name = "anyio.to_process"

    def __init__(self) -> None:
        from anyio import to_process

        self._run = to_process.run_sync

    async def run(self, function: Function, argument: Any) -> Any:
        from anyio import CapacityLimiter

        self._limiter = getattr(self, "_limiter", None) or CapacityLimiter(WORKERS)
        return await self._run(function, argument, cancellable=True, limiter=self._limiter)


Make = Callable[[], Contender]
CONTENDERS: list[tuple[Make, str]] = [
    (Ours, "pipelines.pool"), (partial(Stdlib, "spawn"), "stdlib spawn"),
    (partial(Stdlib, "forkserver"), "stdlib forkserver"), (Loky, "loky"), (Pebble, "Pebble"),
    (Anyio, "anyio.to_process"),
]  # fmt: skip
JOBLIB = "joblib"


async def saturated(pool: Contender, function: Function, argument: Any, tasks: int) -> float:
    """Return the seconds that so many tasks take with a full window."""
    window = asyncio.Semaphore(WINDOW)

    async def one() -> None:
        try:
            await pool.run(function, argument)
        finally:
            window.release()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            await window.acquire()
            group.create_task(one())
    return time.perf_counter() - started


async def figures(make: Callable[[], Contender], tasks: int) -> dict[str, float]:
    """Return microseconds a task for each case, and the milliseconds of a start."""
    small, pages = [os.urandom(100_000)], [os.urandom(50_000) for _ in range(40)]
    started = time.perf_counter()
    pool = make()
    try:
        await asyncio.gather(*(pool.run(pool_tasks.size_of, [b"x"]) for _ in range(WORKERS)))
        found = {"start to first results, ms": (time.perf_counter() - started) * 1e3}
        await saturated(pool, pool_tasks.size_of, small, 50)
        for label, function, argument, count in [
            ("100 kB, µs", pool_tasks.size_of, small, tasks),
            ("2 MB batch, µs", pool_tasks.shrink, pages, tasks // 10),
            ("5 ms of CPU, µs", pool_tasks.spin, 0.005, tasks // 10),
        ]:
            found[label] = await saturated(pool, function, argument, count) / count * 1e6
    finally:
        pool.close()
    return found


def joblib_figures(tasks: int) -> dict[str, float]:
    """Return what joblib takes, whose calls are lists of tasks."""
    from joblib import Parallel, delayed

    small, pages = [os.urandom(100_000)], [os.urandom(50_000) for _ in range(40)]
    found = {}
    started = time.perf_counter()
    with Parallel(n_jobs=WORKERS, batch_size=1, pre_dispatch=WINDOW) as parallel:
        parallel(delayed(pool_tasks.size_of)([b"x"]) for _ in range(WORKERS))
        found["start to first results, ms"] = (time.perf_counter() - started) * 1e3
        for label, function, argument, count in [
            ("100 kB, µs", pool_tasks.size_of, small, tasks),
            ("2 MB batch, µs", pool_tasks.shrink, pages, tasks // 10),
            ("5 ms of CPU, µs", pool_tasks.spin, 0.005, tasks // 10),
        ]:
            started = time.perf_counter()
            parallel(delayed(function)(argument) for _ in range(count))
            found[label] = (time.perf_counter() - started) / count * 1e6
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=False, kill_workers=True)
    return found


class Report(NamedTuple):
    """What became of twenty tasks one of which ended its worker, and of the pool."""

    said: str
    lost: str
    after: str

    def __str__(self) -> str:
        return f"{self.said} | {self.lost} | {self.after}"


def joblib_death(how: str) -> str:
    """Do the same with joblib, in a process of its own: what hangs there cannot be ended otherwise."""
    command = [sys.executable, __file__, "--joblib-death", how]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    try:
        assert child.stdout is not None
        return child.stdout.readline().strip()  # not all of it: joblib's workers hold the pipe as well
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def tell_joblib_death(how: str) -> None:
    """Print what becomes of one call for all twenty, which returns all results or raises; then end at once."""
    from joblib import Parallel, delayed

    def call(tasks: list[Any]) -> str:
        answers: SimpleQueue[str] = SimpleQueue()

        def run() -> None:
            try:
                Parallel(n_jobs=WORKERS, batch_size=1, pre_dispatch=WINDOW)(tasks)
                answers.put("works")
            except Exception as exc:  # noqa: BLE001  # whatever it raises is the finding
                answers.put(type(exc).__name__)

        threading.Thread(target=run, daemon=True).start()
        try:
            return answers.get(timeout=6.0)
        except Empty:
            return "nothing, it waits"

    simple = [delayed(pool_tasks.size_of)([b"x"]) for _ in range(WORKERS)]
    call(simple)
    said = call([delayed(pool_tasks.die)(how if n == 5 else "lives") for n in range(20)])
    print(Report(said, "19", call(simple)), flush=True)
    os._exit(0)  # its own end would wait for what hangs


async def death(make: Make, how: str) -> Report:
    """Let one of twenty tasks end its worker; return what became of the others and of the pool."""
    pool = make()
    try:
        await asyncio.gather(*(pool.run(pool_tasks.size_of, [b"x"]) for _ in range(WORKERS)))
        tasks = [asyncio.ensure_future(pool.run(pool_tasks.die, how if n == 5 else "lives")) for n in range(20)]
        await asyncio.wait(tasks, timeout=6.0)
        lost = sum(not task.done() or task.exception() is not None for n, task in enumerate(tasks) if n != 5)
        culprit = tasks[5]
        said = type(culprit.exception()).__name__ if culprit.done() else "nothing, it waits"
        after = "works"
        try:
            await asyncio.wait_for(pool.run(pool_tasks.size_of, [b"x"]), 3.0)
        except Exception as exc:  # noqa: BLE001  # whatever it raises is the finding
            after = f"{type(exc).__name__}"
        for task in tasks:
            task.cancel()
        return Report(said, str(lost), after)
    finally:
        with suppress(Exception):
            pool.close()


def deaths() -> None:
    """Print what each pool does about a dead worker and about a hanging one."""
    print("| pool | how | the task hears | other tasks lost, of 19 | the pool afterwards |\n|---|---|---|--:|---|")
    for make, name in available():
        for how in ("killed", "hangs"):
            print(f"| {name} | {how} | {_apart(death(make, how))} |", flush=True)
    if has_joblib():
        for how in ("killed", "hangs"):
            print(f"| {JOBLIB} | {how} | {joblib_death(how)} |", flush=True)


def _apart(coroutine: Awaitable[Report]) -> Report:
    """Run in a loop of its own, which is not waited for when something hangs in it."""
    loop = asyncio.new_event_loop()
    return loop.run_until_complete(asyncio.wait_for(coroutine, 20.0))


def available() -> list[tuple[Make, str]]:
    """Return those that are installed; name the others."""
    found = []
    for make, name in CONTENDERS:
        try:
            make().close()
        except ImportError as error:
            left_out(name, error)
        else:
            found.append((make, name))
    return found


def has_joblib() -> bool:
    """Tell whether joblib is installed; name it if it is not."""
    try:
        import joblib  # noqa: F401  # is it there?
    except ImportError as error:
        left_out(JOBLIB, error)
        return False
    return True


def left_out(name: str, error: ImportError) -> None:
    """Say that a pool is missing from the table: nobody should take its absence for a result."""
    print(f"left out: {name} ({error}); pip install '.[bench]'", file=sys.stderr, flush=True)


def compare(tasks: int, rounds: int) -> None:
    """Print a table of medians."""
    table: dict[str, dict[str, list[float]]] = {}
    runners: dict[str, Callable[[], dict[str, float]]] = {
        name: partial(_figures, make, tasks) for make, name in available()
    }
    if has_joblib():
        runners[JOBLIB] = partial(joblib_figures, tasks)
    for _ in range(rounds):
        for name, runner in runners.items():
            for case, value in runner().items():
                table.setdefault(case, {}).setdefault(name, []).append(value)
    print(f"| pool | {' | '.join(table)} |\n|---|{'--:|' * len(table)}")
    for name in runners:
        cells = (f"{statistics.median(row[name]):,.0f}" if name in row else "" for row in table.values())
        print(f"| {name} | {' | '.join(cells)} |")


def _figures(make: Callable[[], Contender], tasks: int) -> dict[str, float]:
    return asyncio.run(figures(make, tasks))


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--deaths", action="store_true")
    parser.add_argument("--joblib-death", choices=["killed", "hangs"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.joblib_death:
        tell_joblib_death(options.joblib_death)
    elif options.deaths:
        deaths()
    else:
        compare(options.tasks, options.rounds)


if __name__ == "__main__":
    main()
