"""Worker processes that never break: the public face of the supervised pool.

What it promises beyond `ProcessPoolExecutor`: a task that crashes its worker fails alone; a task past its deadline is
killed, even in C code that holds the GIL, and its worker replaced; nothing outlives the parent; an error at the call
tells what cannot be pickled. See supervisor.py for how.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from types import TracebackType
from typing import Any, Self, TypeVar

from pipelines.cpus import available_cpus
from pipelines.errors import PoolClosed
from pipelines.pool.executor import PoolExecutor
from pipelines.pool.stats import Death, PoolStats
from pipelines.pool.supervisor import Supervisor

T = TypeVar("T")


class WorkerPool:
    """A fixed number of supervised worker processes.

    Owns its processes, one thread and a few descriptors per worker from `start` to the end of `close`. A pool that is
    collected or forgotten at exit kills its workers. Not usable in a process forked from the one that made it.

    `workers`: how many; None for as many as there are CPUs for this process. `preload`: modules that every worker
    imports before its first task. `nice`: added to the workers' niceness.
    """

    def __init__(
        self, workers: int | None = None, *, preload: Sequence[str] = (), nice: int = 0, name: str = "pool"
    ) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers: expected at least 1, got {workers}")
        self.name = name
        self.workers = available_cpus().count if workers is None else workers
        self._preload = tuple(preload)
        self._nice = nice
        self._lock = threading.Lock()
        self._supervisor: Supervisor | None = None
        self._is_closed = False

    def start(self) -> None:
        """Begin to start all workers and return at once. Called by the first `submit` if nobody else does."""
        with self._lock:
            if self._is_closed:
                raise PoolClosed(f"{self.name} is closed")
            if self._supervisor is None:
                self._supervisor = Supervisor(self.workers, preload=self._preload, nice=self._nice, name=self.name)
                weakref.finalize(self, _kill, self._supervisor)

    def submit(self, fn: Callable[..., T], /, *args: Any, deadline: float | None = None, **kwargs: Any) -> Future[T]:
        """Run `fn(*args, **kwargs)` in a worker.

        `deadline`: seconds from the moment a worker starts on it (receiving it included) until it is killed.
        Arguments are pickled before this returns, but large `bytes` and buffers are not copied: leave them unchanged
        until the task is done.

        Raises TaskNotPicklable, PoolClosed, PoolBroken. The future's exception is the task's own, with the worker's
        traceback as its cause, or TaskTimeout, WorkerCrashed, PoolBroken, PoolClosed, RemoteError (the exception could
        not travel). A started task cannot be cancelled.
        """
        return self._submit(fn, args, kwargs, deadline)

    def executor(self, *, deadline: float | None = None) -> Executor:
        """Return a standard executor over this pool: `loop.run_in_executor(pool.executor(deadline=10), f, x)`."""
        return PoolExecutor(self._submit, deadline)

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers alive."""
        return self._supervisor.pids() if self._supervisor else ()

    def stats(self) -> PoolStats:
        """Return what the pool is doing and what happened to its workers so far."""
        if self._supervisor is None:
            return PoolStats(0, 0, 0, 0, 0, dict.fromkeys(Death, 0), 0, 0)
        return self._supervisor.stats()

    def close(self, *, timeout: float = 5.0) -> None:
        """Take no more tasks, finish those taken within `timeout` seconds, end the workers; return when they are gone.

        What is unfinished then fails with PoolClosed. Closing twice is fine. Not for use on an event loop: `aclose`.
        """
        self._end(timeout)
        self._join()

    async def aclose(self, *, timeout: float = 5.0) -> None:
        """Like `close`, without blocking the event loop. When cancelled, the pool still closes, in the background."""
        import asyncio  # only here: the caller has it, other users of the pool need not

        self._end(timeout)
        if self._supervisor is not None:
            await asyncio.shield(asyncio.wrap_future(self._supervisor.closed))
            self._join()

    def kill(self) -> None:
        """End the workers now; what is unfinished fails with PoolClosed."""
        self._end(0.0, grace_seconds=0.0)
        self._join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.kill()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose(timeout=5.0 if kind is None else 0.0)

    def _submit(
        self, fn: Callable[..., Any], args: tuple[object, ...], kwargs: dict[str, object], deadline: float | None
    ) -> Future[Any]:
        if self._supervisor is None:
            self.start()
        assert self._supervisor is not None
        return self._supervisor.submit(fn, args, kwargs, deadline)

    def _end(self, timeout: float, **grace: float) -> None:
        with self._lock:
            self._is_closed = True
            if self._supervisor is not None:
                self._supervisor.close(timeout, **grace)

    def _join(self) -> None:
        supervisor = self._supervisor
        if supervisor is not None and supervisor.thread is not threading.current_thread():
            supervisor.thread.join()


def _kill(supervisor: Supervisor) -> None:
    """Finalizer of a pool: at exit or when nobody holds it any more."""
    supervisor.close(0.0, grace_seconds=0.0)
    if supervisor.thread is not threading.current_thread():
        supervisor.thread.join()
