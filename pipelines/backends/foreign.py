"""Runs tasks on any `concurrent.futures.Executor`: the standard library's, loky's, a cluster's. A lesser citizen."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from logging import Logger
from typing import Any

from pipelines.backends.backend import Guarantee, lacking, log_lacking
from pipelines.errors import PoolBroken, PoolClosed
from pipelines.pool.executor import PoolExecutor

_UNKNOWN = frozenset({Guarantee.OFF_LOOP})  # what an executor is for
_PROCESSES = frozenset({Guarantee.OFF_LOOP, Guarantee.PARALLEL})
_FACE = frozenset(Guarantee) - {
    Guarantee.DEADLINE,  # its own, if it has one, is kept; that of `submit` is not
    Guarantee.MEMORY_LIMIT,  # the pool's, if it has one
    Guarantee.BOUNDED_CLOSE,  # it leaves the pool open, for whoever made it to close
}
_THREADS = frozenset({Guarantee.OFF_LOOP, Guarantee.NO_ORPHANS, Guarantee.LOGS})


def guarantees_of(executor: Executor) -> frozenset[Guarantee]:
    """Return what is known of an executor by its kind: little, but for a face of the supervised pool."""
    if isinstance(executor, PoolExecutor):
        return _FACE
    if isinstance(executor, ProcessPoolExecutor) or type(executor).__module__.partition(".")[0] == "loky":
        return _PROCESSES
    return _THREADS if type(executor) is ThreadPoolExecutor else _UNKNOWN  # one of its subclasses is not threads


def warn_of(executor: Executor, log: Logger) -> None:
    """Log one warning that says what an executor lacks; nothing for a face of the pool, whose limits were chosen."""
    if not isinstance(executor, PoolExecutor):
        log_lacking(ForeignBackend(executor), log)


class ForeignBackend:
    """An executor, which it owns from now on.

    `guarantees`: what the one who chose the executor knows of it; None for what is known by its kind.
    """

    def __init__(self, executor: Executor, *, guarantees: frozenset[Guarantee] | None = None) -> None:
        if guarantees is not None and Guarantee.DEADLINE in guarantees:
            raise ValueError("guarantees: an Executor's submit takes no deadline, so leave it out")
        self.name = type(executor).__name__
        self.guarantees = guarantees_of(executor) if guarantees is None else guarantees
        self._executor = executor
        self._is_closed = False

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, deadline: float | None = None, **kwargs: Any
    ) -> Future[Any]:
        """Like `Executor.submit`; `deadline` is ignored."""
        if self._is_closed:
            raise PoolClosed(f"{self.name} is closed; make another backend")
        if kwargs:  # some executors (loky, the standard library before 3.9) keep `fn` and `self` for themselves
            fn = partial(fn, **kwargs)
        try:
            return self._executor.submit(fn, *args)
        except BrokenExecutor as exc:
            raise PoolBroken(f"{self.name}: {exc}") from exc

    def close(self, *, timeout: float = 5.0) -> None:
        """Take no more tasks and wait for those taken, however long they take."""
        self._is_closed = True
        self._executor.shutdown(wait=True)

    def lacking(self) -> list[str]:
        """Return what it does not guarantee, in words."""
        return lacking(self)
