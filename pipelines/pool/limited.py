"""The ways to give a pool work, all with the same limits: `submit`, `run`, `outcome` and a standard executor.

`submit` is for those who bring their own bounds: it never waits. `run` and `outcome` wait for admission (see
admission.py), and whoever stops waiting for them stops the work.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from time import monotonic
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from pipelines.errors import PoolBroken, PoolClosed
from pipelines.pool.admission import Admission
from pipelines.pool.bell import bell_of
from pipelines.pool.executor import PoolExecutor
from pipelines.pool.limits import Limits
from pipelines.pool.outcome import Outcome
from pipelines.pool.supervisor import Supervisor
from pipelines.pool.task import TaskFuture

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
P = ParamSpec("P")


class Started(Protocol):
    """A pool, as far as work is concerned."""

    @property
    def admission(self) -> Admission:
        """Who may send a task now."""

    def supervisor(self) -> Supervisor:
        """Return the supervisor, starting the pool if need be. Raises PoolClosed."""


class Limited:
    """A pool under certain limits. Holding it keeps the pool alive."""

    def __init__(self, pool: Started, limits: Limits) -> None:
        self._pool = pool
        self._limits = limits

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[T]:
        """Run `fn(*args, **kwargs)` in a worker; like `WorkerPool.submit`."""
        return self._submit(fn, args, kwargs)

    async def run(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Wait for admission, then for the result; like `WorkerPool.run`."""
        future: TaskFuture[T] = await self._done(fn, args, kwargs)
        try:
            return future.result()
        finally:
            del future  # or its exception's traceback would hold the future, and the future the exception

    async def outcome(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Outcome[T]:
        """Like `run`, but tell instead of raise what the task did; like `WorkerPool.outcome`."""
        outcome = (await self._done(fn, args, kwargs)).outcome
        if isinstance(outcome.error, PoolClosed | PoolBroken) and outcome.cause:
            raise outcome.error  # by the pool, not by the task: that one has no cause
        return outcome

    def executor(self) -> Executor:
        """Return a standard executor: `loop.run_in_executor(pool.limited(deadline=10).executor(), f, x)`."""
        return PoolExecutor(self._submit)

    def _submit(self, fn: Callable[..., Any], args: tuple[object, ...], kwargs: dict[str, object]) -> TaskFuture[Any]:
        supervisor = self._pool.supervisor()
        supervisor.attendance.offer(self._pool)
        return supervisor.submit(supervisor.task(fn, args, kwargs, self._limits))

    async def _done(
        self, fn: Callable[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> TaskFuture[Any]:
        """Return the future of a task once it is done, and not before it was admitted."""
        asked = monotonic()
        supervisor = self._pool.supervisor()
        admission = self._pool.admission
        ticket = await admission.turn()
        try:
            supervisor.check()  # while this waited, the pool may have been closed
            task = supervisor.task(fn, args, kwargs, self._limits, asked)
        except BaseException:
            admission.leave(ticket)
            raise
        await admission.fit(ticket, task.size)
        task.ticket = ticket
        supervisor.attendance.offer(self._pool)
        try:
            future = supervisor.submit(task)
            del task
            await _finished(future)
            return future
        finally:
            ticket.release()


async def _finished(future: TaskFuture[Any]) -> None:
    """Wait until a future is done; whoever stops waiting stops the task."""
    from asyncio import get_running_loop  # only here: the caller has it, other users of the pool need not

    loop = get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    bell = bell_of(loop)

    def done(_: TaskFuture[Any]) -> None:
        bell.ring(loop, waiter)

    future.add_done_callback(done)  # type: ignore[arg-type]  # it is given the future itself
    try:
        await waiter
    except BaseException:
        future.stop()
        raise
