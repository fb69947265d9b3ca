"""A pool as a `concurrent.futures.Executor`, for `loop.run_in_executor` and everything else that takes one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures import wait as wait_for
from typing import Any

from pipelines.pool.task import TaskFuture

Submit = Callable[..., TaskFuture[Any]]


class PoolExecutor(Executor):
    """A face of a pool, whose limits every task has that is submitted through it.

    Shutting it down leaves the pool open.
    """

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self._unfinished: set[Future[Any]] = set()
        self._is_shut = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskFuture[Any]:
        """Run `fn(*args, **kwargs)` in a worker; raises RuntimeError after `shutdown`."""
        if self._is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future = self._submit(fn, args, kwargs)
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; with `wait`, return when those submitted here are done."""
        self._is_shut = True
        futures = list(self._unfinished)
        if cancel_futures:
            for future in futures:
                future.cancel()
        if wait:
            wait_for(futures)
