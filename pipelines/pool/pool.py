"""Worker processes that never break: the public face of the supervised pool.

What it promises beyond `ProcessPoolExecutor`: a task that crashes its worker fails alone; a task past its deadline or
above its memory limit is killed, even in C code that holds the GIL, and a warm spare takes over; whoever stops waiting
for a task stops it; what is under way is bounded in tasks and in bytes; nothing outlives the parent; an error at the
call tells what cannot be pickled. See supervisor.py for how.

What it does not do: context variables do not travel, since they hold what another process cannot have. Processes that
a task starts are the task's own: they end neither with it nor with the worker.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from pipelines.cpus import available_cpus
from pipelines.errors import PoolClosed
from pipelines.pool.admission import Admission
from pipelines.pool.closing import EXIT_SECONDS
from pipelines.pool.limited import Limited
from pipelines.pool.limits import Limits
from pipelines.pool.outcome import Outcome
from pipelines.pool.plan import Initializer, Plan, Setup
from pipelines.pool.stats import PoolStats
from pipelines.pool.supervisor import Supervisor
from pipelines.pool.task import TaskFuture, pickled

T = TypeVar("T")
P = ParamSpec("P")

_log = logging.getLogger("pipelines")

TASKS_PER_WORKER = 4  # one runs, one lies in its socket, two are on their way there or back
MAX_BYTES = 64 << 20


class WorkerPool:
    """A fixed number of supervised worker processes.

    Owns its processes, one thread (two once a worker has logged) and a few descriptors per worker from `start` to the
    end of `close`. The callbacks of futures run in the thread that enforces the limits or on the event loop that gives
    the tasks, so they should be quick; handlers of what workers log have the other one. A pool that is collected or
    forgotten at exit kills its workers. Not usable in a process forked from the one that made it. Its methods may be
    called from any thread and any event loop.

    `workers`: how many; None for as many as there are CPUs for this process, and the log says why it is so many.
    `preload`: modules that every worker imports before its first task. `initializer`: called once in every worker after
    that, picklable; a worker in which it raises does not start. `nice`: added to the workers' niceness.

    `max_tasks`: how many tasks of `run` and `outcome` are admitted and not finished; None for four per worker.
    `max_bytes`: how many bytes their pickled arguments may hold, together with the results nobody has taken yet. Nobody
    knows a result before it is there: those of the tasks admitted until then come on top, `max_tasks` at most.
    `max_result_bytes`: of one pickled result; a task with a larger one fails with ResultTooLarge. None for no limit.

    `memory_limit`: resident bytes of a worker above which it is killed and its task ends as WorkerOutOfMemory; looked
    at every 50 ms while it runs a task, so a very fast hog may go further. `address_space_limit`: bytes of RLIMIT_AS,
    the outer net that makes the task raise MemoryError; None for four times the `memory_limit` and 1 GiB, if there is
    one. `recycle_after`: tasks, `recycle_above`: resident bytes between two tasks, after which a worker is replaced;
    it works on until its successor is ready, and is never interrupted.

    `spare`: keep one warm process more than `workers`, which replaces a dead one at once; costs its memory.

    `forkserver`: import the modules of `preload` once, in a process that does nothing else, and fork the workers from
    it (Linux 5.3; elsewhere it changes nothing). Further workers and replacements start in a few milliseconds, and
    share memory. Only for modules that open nothing when they are imported: all workers would hold it. A module that
    starts a thread is noticed, and workers are started as ever.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        preload: Sequence[str] = (),
        initializer: Initializer | None = None,
        nice: int = 0,
        name: str = "pool",
        max_tasks: int | None = None,
        max_bytes: int = MAX_BYTES,
        max_result_bytes: int | None = None,
        memory_limit: int | None = None,
        address_space_limit: int | None = None,
        recycle_after: int | None = None,
        recycle_above: int | None = None,
        spare: bool = True,
        forkserver: bool = False,
    ) -> None:
        """Raises ValueError, and TaskNotPicklable for the initializer. Starts nothing."""
        self._plan = Plan(
            _sized(name) if workers is None else workers,
            name,
            tuple(preload),
            None if initializer is None else Setup(*pickled(initializer)),
            nice,
            memory_limit,
            address_space_limit,
            recycle_after,
            recycle_above,
            max_result_bytes,
            spare,
            forkserver,
        ).check()
        self._limits = Limits(None, memory_limit)
        self.name = name
        self.workers = self._plan.size
        self.admission = Admission(TASKS_PER_WORKER * self.workers if max_tasks is None else max_tasks, max_bytes)
        self._lock = threading.Lock()
        self._supervisor: Supervisor | None = None
        self._is_closed = False

    def start(self) -> None:
        """Begin to start all workers and return at once. Called by the first task if nobody else does."""
        with self._lock:
            if self._is_closed:
                raise PoolClosed(f"{self.name} is closed")
            if self._supervisor is None:
                self._supervisor = Supervisor(self._plan, on_refusal=self.admission.open)
                weakref.finalize(self, _kill, self._supervisor)

    def supervisor(self) -> Supervisor:
        """Return what runs the workers, started if need be: for the pool's own faces. Raises PoolClosed."""
        if self._supervisor is None:
            self.start()
        assert self._supervisor is not None
        return self._supervisor

    def submit(
        self, fn: Callable[..., T], /, *args: Any, deadline: float | None = None, **kwargs: Any
    ) -> TaskFuture[T]:
        """Run `fn(*args, **kwargs)` in a worker; never waits, so the queue has no bound but the caller's.

        `deadline`: seconds from the moment a worker starts on it (receiving it included) until it is killed.
        Arguments are pickled before this returns, but large `bytes` and buffers are not copied: leave them unchanged
        until the task is done.

        Raises TaskNotPicklable, PoolClosed, PoolBroken. The future's exception is the task's own, with the worker's
        traceback as its cause, or TaskTimeout, WorkerCrashed, WorkerOutOfMemory, PoolBroken, PoolClosed, RemoteError
        (the exception could not travel), ResultTooLarge. A started task cannot be cancelled; `TaskFuture.stop` ends it.
        """
        supervisor = self.supervisor()
        limits = self._limits if deadline is None else Limits(deadline, self._limits.memory).check()
        supervisor.attendance.offer(self)
        return supervisor.submit(supervisor.task(fn, args, kwargs, limits))

    async def run(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Wait for admission, run `fn(*args, **kwargs)` in a worker and return its result.

        Admission is first come, first served. Whoever cancels the waiting coroutine stops the work, wherever it is: a
        worker that runs it is killed and replaced. Arguments and errors are as with `submit`; for a deadline see
        `limited`.
        """
        return await Limited(self, self._limits).run(fn, *args, **kwargs)

    async def outcome(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Outcome[T]:
        """Like `run`, but return what became of the task with what it cost, and never raise for what the task did.

        Raises TaskNotPicklable for the call, PoolClosed and PoolBroken.
        """
        return await Limited(self, self._limits).outcome(fn, *args, **kwargs)

    def limited(self, *, deadline: float | None = None, memory_limit: int | None = None) -> Limited:
        """Return the pool with limits for each task: `await pool.limited(deadline=2.0).run(f, x)`.

        `deadline`: seconds, as with `submit`. `memory_limit`: resident bytes of its worker, instead of the pool's.
        """
        return Limited(self, Limits(deadline, self._limits.memory if memory_limit is None else memory_limit).check())

    def executor(self, *, deadline: float | None = None) -> Executor:
        """Return a standard executor over this pool: `loop.run_in_executor(pool.executor(deadline=10), f, x)`."""
        return self.limited(deadline=deadline).executor()

    @property
    def memory_limit(self) -> int | None:
        """Resident bytes of a worker above which it is killed; None for no limit."""
        return self._plan.memory_limit

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers alive, without the spare."""
        return self._supervisor.pids() if self._supervisor else ()

    def stats(self) -> PoolStats:
        """Return what the pool is doing and what happened to its workers and tasks so far."""
        return self._supervisor.stats() if self._supervisor else PoolStats()

    def close(self, *, timeout: float = 5.0, grace: float | None = None) -> list[str]:
        """Take no more tasks, finish those taken within `timeout` seconds, end the workers; return when they are gone.

        What is unfinished then fails with PoolClosed; the names of these tasks' functions are returned. Those who wait
        for admission get PoolClosed at once. Closing twice is fine. Not for use on an event loop: `aclose`.

        A task that still runs is made to raise SystemExit where it stands, once, so that its `finally` blocks run; its
        worker is killed after `grace` seconds. None: half a second; with `timeout=0` it is killed at once. Idle workers
        exit in the same time.
        """
        self._end(timeout, grace)
        return self._join()

    async def aclose(self, *, timeout: float = 5.0, grace: float | None = None) -> list[str]:
        """Like `close`, without blocking the event loop. When cancelled, the pool still closes, in the background."""
        import asyncio  # only here: the caller has it, other users of the pool need not

        self._end(timeout, grace)
        if self._supervisor is not None:
            await asyncio.shield(asyncio.wrap_future(self._supervisor.closed))
        return self._join()

    def kill(self) -> list[str]:
        """End the workers now; what is unfinished fails with PoolClosed and is returned by name."""
        self._end(0.0, 0.0)
        return self._join()

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

    def _end(self, timeout: float, grace: float | None) -> None:
        unwinds = timeout > 0 if grace is None else grace > 0
        with self._lock:
            self._is_closed = True
            if self._supervisor is not None:
                seconds = EXIT_SECONDS if grace is None else max(0.0, grace)
                self._supervisor.close(timeout, grace_seconds=seconds, unwinds=unwinds)

    def _join(self) -> list[str]:
        """Wait for the end, unless this is a callback in the thread that has to bring it about."""
        supervisor = self._supervisor
        if supervisor is None or supervisor.thread is threading.current_thread():
            return []
        supervisor.thread.join()
        supervisor.attendance.leave()
        return list(supervisor.closed.result(0)) if supervisor.closed.done() else []


def _sized(name: str) -> int:
    """Return how many workers a pool has of which nobody said it, and say why."""
    limit = available_cpus()
    _log.info("%s: %d workers (%s)", name, limit.count, limit.why)
    return limit.count


def _kill(supervisor: Supervisor) -> None:
    """Finalizer of a pool: at exit or when nobody holds it any more."""
    supervisor.close(0.0, grace_seconds=0.0)
    if supervisor.thread is not threading.current_thread():
        supervisor.thread.join()
