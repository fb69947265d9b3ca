"""Runs tasks in the supervised pool of this machine: the default, and the only one that promises everything."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from pipelines.backends.backend import Guarantee, lacking
from pipelines.pool.pool import WorkerPool


class LocalBackend:
    """A `WorkerPool`, which it owns from now on."""

    def __init__(self, pool: WorkerPool) -> None:
        self.pool = pool
        pool.start()

    @property
    def name(self) -> str:
        """The pool's name and size."""
        return f"{self.pool.name} of {self.pool.workers} workers"

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """Everything; a limit of memory only where the pool was given one."""
        everything = frozenset(Guarantee)
        return (
            everything
            if getattr(self.pool, "memory_limit", None) is not None
            else everything - {Guarantee.MEMORY_LIMIT}
        )

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, deadline: float | None = None, **kwargs: Any
    ) -> Future[Any]:
        """Like `WorkerPool.submit`."""
        return self.pool.submit(fn, *args, deadline=deadline, **kwargs)

    def close(self, *, timeout: float = 5.0) -> None:
        """Like `WorkerPool.close`."""
        self.pool.close(timeout=timeout)

    def lacking(self) -> list[str]:
        """Return what it does not guarantee, in words."""
        return lacking(self)
