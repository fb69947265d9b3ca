"""Background tasks of a service: started with it, restarted as declared, stopped with it, none forgotten."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from pipelines.tasks.cpu import CpuWork, Submits
from pipelines.tasks.options import Startup, TaskFunction, check_function, declared, name_of
from pipelines.tasks.restart import Clock
from pipelines.tasks.shutdown import Shutdown
from pipelines.tasks.status import StopReport, TaskStatus
from pipelines.tasks.supervised import OnFailure, Supervised

F = TypeVar("F", bound=TaskFunction)
P = ParamSpec("P")
T = TypeVar("T")


class BackgroundTaskManager:
    """Supervises the tasks it is given, from `start` to `stop`; then it can be started again, also in another loop.

    Not thread-safe: one event loop at a time. Owns its asyncio tasks and the pool it makes for `run_cpu`.

    `name`: for asyncio's task names, and the key of the state that `lifespan` yields. `pool`: where `run_cpu` goes; a
    WorkerPool, a backend or an Executor, which stays open. None: a WorkerPool with `workers` processes, made when the
    first task with `cpu_bound` begins. `on_failure`: called with the status of a task that died for good, on the loop;
    an exception in it is logged. `clock`: for tests.
    """

    def __init__(
        self,
        *tasks: TaskFunction,
        name: str = "tasks",
        pool: Submits | None = None,
        workers: int | None = None,
        on_failure: OnFailure | None = None,
        clock: Clock | None = None,
    ) -> None:
        if inspect.iscoroutinefunction(on_failure):
            raise TypeError("on_failure: expected a plain function; it may begin something asynchronous, not be it")
        self.name = name
        self._make_cpu = partial(CpuWork, pool, workers=workers, name=name)
        self._cpu = self._make_cpu()
        self._on_failure = on_failure
        self._clock = clock or Clock()
        self._tasks: dict[str, Supervised] = {}
        self._scope: contextvars.Context | None = None  # of whoever started it; None: not started
        self._shutdown: Shutdown | None = None
        self._stopped: asyncio.Future[StopReport] | None = None
        self._report = StopReport()
        for function in tasks:
            self.add(function)

    def add(self, function: F, *, name: str | None = None) -> F:
        """Register an async function that takes a TaskContext, and return it; also good as a decorator.

        `name`: instead of the declared one, for a function that is added twice. While the manager runs, the task
        begins at once unless it is lazy; nobody waits for its `ready()` then.

        Raises TypeError for what is no such function, ValueError for a name that is taken, RuntimeError while the
        manager stops.
        """
        check_function(function)
        options = declared(function)
        name = name or options.name or name_of(function)
        if name in self._tasks:
            raise ValueError(f"task {name!r}: there is one of this name; give another: add(function, name=...)")
        if self._shutdown is not None:
            raise RuntimeError(f"task {name!r}: {self.name} is stopping")
        self._tasks[name] = Supervised(name, function, options, self._clock, self._on_failure)
        if self._scope is not None and options.startup is not Startup.LAZY:
            self.begin(name)
        return function

    def begin(self, name: str) -> None:
        """Begin a lazy task, or again one that ended or failed; nothing if it is alive.

        Raises KeyError for an unknown name, RuntimeError when the manager does not run.
        """
        if name not in self._tasks:
            raise KeyError(f"no task {name!r}; there are: {', '.join(self._tasks) or 'none'}")
        if self._scope is None or self._shutdown is not None:
            raise RuntimeError(f"task {name!r}: {self.name} does not run; start it first")
        if not self._tasks[name].is_alive:
            self._tasks[name].begin(self.name, self._cpu, self._scope)

    def status(self) -> dict[str, TaskStatus]:
        """Return every task's state, restarts and last error, by name; after a stop, as it left them."""
        return {name: task.status() for name, task in self._tasks.items()}

    async def run_cpu(self, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `func(*args, **kwargs)` in the pool of the tasks, for endpoints and other code; see TaskContext.run_cpu.

        Makes the pool if there is none yet. Raises RuntimeError when the manager does not run.
        """
        if self._scope is None or self._shutdown is not None:
            raise RuntimeError(f"run_cpu: {self.name} does not run; start it first")
        return await self._cpu.run(func, *args, **kwargs)

    async def start(self) -> None:
        """Begin all tasks but the lazy ones, and return when those with `startup="wait"` are ready.

        If one is not, everything is stopped again and StartupFailed or StartupTimeout is raised, for the first.
        Raises RuntimeError when it runs already, and while a straggler of the run before is still alive.
        """
        if self._scope is not None:
            raise RuntimeError(f"{self.name} is started already; whoever started it stops it")
        if alive := [name for name, task in self._tasks.items() if task.is_alive]:
            raise RuntimeError(f"{self.name}: still alive after the last stop: {', '.join(alive)}")
        self._scope = contextvars.copy_context()
        self._cpu = self._make_cpu()
        try:
            for task in self._tasks.values():
                task.reset()
                if task.options.startup is not Startup.LAZY:
                    task.begin(self.name, self._cpu, self._scope)
            await self._until_ready()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> StopReport:
        """End all tasks, in parallel, and return how it went. Twice, or before a start: returns the last report.

        A task that looks at `context.stopping` may end by itself in 80 % of its `shutdown_timeout`; then, and every
        other task at once, it is cancelled. What is alive at the end of its `shutdown_timeout` is a straggler: logged,
        named in the report, and left. So this takes as long as the largest `shutdown_timeout` at most, and what the
        workers of an own pool need to die, a few hundredths of a second.

        Cancelled, it cancels all tasks at once, still ends everything, and then raises CancelledError.
        Raises RuntimeError inside one of its own tasks, which would wait for itself.
        """
        if self._scope is None:
            return self._report
        current = asyncio.current_task()
        for name, task in self._tasks.items():
            if task.is_alive and task.task is current:
                raise RuntimeError(f"stop() inside task {name!r} would wait for itself; let who started it stop it")
        if self._stopped is not None:
            return await asyncio.shield(self._stopped)
        return await self._stop()

    async def _stop(self) -> StopReport:
        loop = asyncio.get_running_loop()
        self._stopped = stopped = loop.create_future()
        self._shutdown = shutdown = Shutdown(list(self._tasks.values()), loop.time())
        try:
            interrupted = await shutdown.run()
            interrupted = await _finish(loop.create_task(self._cpu.close())) or interrupted
        finally:
            self._report = shutdown.report(loop.time())
            stopped.set_result(self._report)
            self._scope = self._shutdown = self._stopped = None
        if interrupted is not None:
            raise interrupted
        return self._report

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncIterator[dict[str, object]]:
        """Run while an application does: `FastAPI(lifespan=manager.lifespan)`, or Starlette.

        Yields the state of the application: the manager under its name, `request.state.tasks`.
        """
        async with self:
            yield {self.name: self}

    async def _until_ready(self) -> None:
        waits = [
            asyncio.ensure_future(task.until_ready())
            for task in self._tasks.values()
            if task.options.startup is Startup.WAIT
        ]
        try:
            await asyncio.gather(*waits)
        finally:
            for wait in waits:
                wait.cancel()


async def _finish(task: asyncio.Task[None]) -> asyncio.CancelledError | None:
    """Await a task that takes a bounded time, to its end; return the cancellation that came meanwhile."""
    interrupted = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as exc:
            interrupted = exc
    task.result()
    return interrupted
