"""Runs tasks on any `concurrent.futures.Executor`: threads, the standard library's processes, loky, a cluster's."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

from pipelines.backends.backend import Guarantee
from pipelines.errors import PoolBroken, PoolClosed


class ForeignBackend:
    """An executor, which it owns from now on: a lesser citizen, since the protocol knows no deadline.

    `guarantees`: what the one who chose the executor knows of it.
    """

    def __init__(
        self, executor: Executor, *, guarantees: frozenset[Guarantee] = frozenset({Guarantee.OFF_LOOP})
    ) -> None:
        if Guarantee.DEADLINE in guarantees:
            raise ValueError("guarantees: an Executor's submit takes no deadline, so none can be enforced")
        self.name = type(executor).__name__
        self.guarantees = guarantees
        self._executor = executor
        self._is_closed = False

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, deadline: float | None = None, **kwargs: Any
    ) -> Future[Any]:
        """Like `Executor.submit`; `deadline` is ignored."""
        if self._is_closed:
            raise PoolClosed(f"{self.name} is closed")
        try:
            return self._executor.submit(fn, *args, **kwargs)
        except BrokenExecutor as exc:
            raise PoolBroken(f"{self.name}: {exc}") from exc

    def close(self, *, timeout: float = 5.0) -> None:
        """Take no more tasks and wait for those taken, however long they take."""
        self._is_closed = True
        self._executor.shutdown(wait=True)
