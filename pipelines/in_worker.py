"""Coroutines in worker processes, for work that waits and computes in turns: download and hash, query and parse.

A loop that computes is no loop for anything else. In a worker it is nobody else's: the coroutine may keep its core
busy, and crash, and hang, with what the pool guarantees for every task.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from pipelines.coroutine import Pipe, run_coroutine
from pipelines.cpu import default_pool
from pipelines.flow.ending import stop
from pipelines.flow.place import Submits, check_deadline
from pipelines.pool.pool import WorkerPool

T = TypeVar("T")

GRACE_SECONDS = 2.0
"""What a cancelled coroutine gets to clean up."""


async def run_async_in_worker(
    coro_func: Callable[..., Coroutine[Any, Any, T]],
    /,
    *args: Any,
    deadline: float | None = None,
    grace: float = GRACE_SECONDS,
    pool: Submits | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    **kwargs: Any,
) -> T:
    """Run `coro_func(*args, **kwargs)` in a worker process, in an event loop of its own, and return its result.

    It has a worker for itself until it ends: for many requests at once start one coroutine that gathers them. Function,
    arguments and result must pickle, as for `run_cpu_async`; context variables do not travel. `pool`: None for the
    default one; a `WorkerPool` admits no more such calls than its `max_tasks`.

    Cancelling this cancels the coroutine in the worker: its `finally` blocks run, for at most `grace` seconds, then the
    worker is killed; cancelling again kills it at once. Where a process cannot open another one's pipe (no Linux, or a
    /proc that hides it), it is killed at once. A backend without Guarantee.ISOLATION lets it run on after `grace`.

    `deadline`: seconds from its start until the worker is killed, whatever the coroutine does; for one that should
    clean up, put an `asyncio.timeout` into it. `loop_factory`: for another loop, as `uvloop.new_event_loop`.

    Raises what the coroutine raised, with the worker's traceback; RuntimeError when it was cancelled in there;
    TaskTimeout, WorkerCrashed, TaskNotPicklable, PoolClosed, PoolBroken.
    """
    place = pool if pool is not None else default_pool()
    check_deadline(place, deadline)
    options = {} if deadline is None else {"deadline": deadline}
    async with _admitted(place):
        with _stop_pipe() as (pipe, ask):
            future: Future[T] = cast(
                "Future[T]", place.submit(run_coroutine, coro_func, args, kwargs, loop_factory, pipe, **options)
            )  # not None: that is the answer of one that was stopped, for which nobody waits
            return await _result(future, ask if pipe is not None else None, grace)


@asynccontextmanager
async def _admitted(pool: Submits) -> AsyncIterator[None]:
    """Count as one of a pool's tasks; the bytes of the arguments, few in a call like this, are not counted."""
    if not isinstance(pool, WorkerPool):
        yield
        return
    ticket = await pool.admission.turn()
    await pool.admission.fit(ticket, 0)  # passes the turn on
    try:
        yield
    finally:
        ticket.release()


async def _result(future: Future[T], ask: Callable[[], None] | None, grace: float) -> T:
    """Return the result of a task; when cancelled, ask it to stop, and after `grace` seconds stop it."""
    waiting = asyncio.wrap_future(future)
    try:
        await asyncio.wait([waiting])
    except asyncio.CancelledError:
        try:
            if not future.cancel() and ask is not None:
                ask()
                await asyncio.wait([waiting], timeout=grace)
        finally:
            stop(future)
            if not waiting.cancel() and not waiting.cancelled():
                waiting.exception()  # seen: whoever cancelled wants nothing more of it
        raise
    return waiting.result()


@contextmanager
def _stop_pipe() -> Iterator[tuple[Pipe | None, Callable[[], None]]]:
    """Open the pipe through which a worker is asked to stop; None where the worker could not open it.

    It must stay open until the task is over: before that the worker may still be about to open it, and a descriptor
    number that is used again would lead it to something else.
    """
    reading, writing = os.pipe()
    pipe = Pipe(os.getpid(), reading)
    try:
        yield pipe if Path(pipe.path()).exists() else None, lambda: _ask(writing)
    finally:
        os.close(reading)
        os.close(writing)


def _ask(writing: int) -> None:
    os.write(writing, b"\0")
