"""Where `run_cpu` goes: a pool of the manager's own, made when first needed, or one that was given and stays open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol, TypeVar

from pipelines.errors import PoolClosed
from pipelines.pool.limited import Limited
from pipelines.pool.pool import WorkerPool

T = TypeVar("T")


class Submits(Protocol):
    """A `WorkerPool`, its `limited(...)`, a backend of `pipelines.backends`, or any `concurrent.futures.Executor`."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn(*args, **kwargs)` somewhere else."""


class CpuWork:
    """Runs functions off the loop, for one run of a manager.

    Owns the pool it made; a pool that was given belongs to whoever made it.
    """

    def __init__(self, pool: Submits | None, *, workers: int | None, name: str) -> None:
        self._given = pool
        self._own: WorkerPool | None = None
        self._is_closed = False
        self._workers, self._name = workers, name

    def open(self) -> Submits:
        """Return the pool; makes and warms it when there is none. Raises PoolClosed after `close`."""
        if self._is_closed:  # else a straggler would make a pool that nobody closes
            raise PoolClosed(f"{self._name} has stopped")
        if self._given is not None:
            return self._given
        if self._own is None:
            self._own = WorkerPool(self._workers, name=f"{self._name}-pool")
            self._own.start()
        return self._own

    async def run(self, func: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Run `func(*args, **kwargs)` in the pool and return its result."""
        return await _run_in(self.open(), func, *args, **kwargs)

    async def close(self) -> None:
        """Kill what still runs and close the pool, unless it was given."""
        self._is_closed = True
        if self._own is not None:
            await self._own.aclose(timeout=0.0)


async def _run_in(pool: Submits, func: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Await the result. Cancelled: our own pool stops the work; elsewhere what runs goes on."""
    if isinstance(pool, WorkerPool | Limited):
        return await pool.run(func, *args, **kwargs)
    call = partial(func, **kwargs) if kwargs else func  # a keyword of `func` must not be taken for one of `submit`
    return await asyncio.wrap_future(pool.submit(call, *args))
