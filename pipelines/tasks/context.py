"""What a background task gets: a name, a way to say it is ready, a way to hear that it should stop, CPU work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from pipelines.tasks.cpu import CpuWork
from pipelines.tasks.errors import NotCpuBound

P = ParamSpec("P")
T = TypeVar("T")


class TaskContext:
    """The one argument of a task. Lives from its begin to its end, restarts included.

    To test a task, make one: `await poll(TaskContext("poll"))`.
    """

    def __init__(self, name: str, cpu: CpuWork | None = None) -> None:
        self.name = name
        self.restarts = 0
        """How often the task was begun again; 0 the first time."""
        self.readiness = asyncio.Event()
        self.heeds_stop = False
        """Whether the task ever looked at `stopping`. One that never did cannot end by itself: it is cancelled at
        once when the service stops."""
        self._stopping = asyncio.Event()
        self._cpu = cpu

    def ready(self) -> None:
        """Say that the service may go on. Needed with `startup="wait"`; calling it again is fine."""
        self.readiness.set()

    @property
    def stopping(self) -> asyncio.Event:
        """Set when the service stops. A task that looks at it is given time to end by itself."""
        self.heeds_stop = True
        return self._stopping

    async def pause(self, seconds: float) -> bool:
        """Sleep, but no longer than the service lives; True when it stops.

        while not await context.pause(60):
            await poll()
        """
        try:
            async with asyncio.timeout(seconds):
                return await self.stopping.wait()
        except TimeoutError:
            return False

    async def run_cpu(self, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `func(*args, **kwargs)` in a worker process; the loop stays free.

        Function, arguments and result are pickled. Raises what `func` raises, TaskNotPicklable, WorkerCrashed and the
        other errors of the pool, and NotCpuBound in a task without `cpu_bound=True`.
        """
        if self._cpu is None:
            raise NotCpuBound(f"task {self.name!r}: run_cpu needs a pool; declare it with @task(cpu_bound=True)")
        return await self._cpu.run(func, *args, **kwargs)

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether the service stops. For the manager: unlike `stopping`, asking this promises nothing."""
        return self._stopping.is_set()

    def ask_to_stop(self) -> None:
        """Set `stopping`. For the manager, and for tests of a task."""
        self._stopping.set()
