"""The life of one background task: begin, end, begin again, and what is told about it.

It runs inside one asyncio task, so that a cancellation reaches the user's code directly, whoever cancels. What the
user's code dies of is a value for the restart policy, except KeyboardInterrupt, SystemExit and their like, which
belong to whoever runs the loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context

from pipelines.tasks.context import TaskContext
from pipelines.tasks.cpu import CpuWork
from pipelines.tasks.errors import StartupFailed, StartupTimeout
from pipelines.tasks.options import Startup, TaskFunction, TaskOptions
from pipelines.tasks.restart import Again, Clock, Over
from pipelines.tasks.status import State, TaskStatus

_log = logging.getLogger(__name__)

OnFailure = Callable[[TaskStatus], object]


class Supervised:
    """A task of a manager, begun as often as the manager is started."""

    def __init__(
        self, name: str, function: TaskFunction, options: TaskOptions, clock: Clock, on_failure: OnFailure | None
    ) -> None:
        self.name, self.options = name, options
        self._function, self._clock, self._on_failure = function, clock, on_failure
        self._state = State.NEW
        self._error: BaseException | None = None
        self._context: TaskContext | None = None
        self._task: asyncio.Task[None] | None = None

    def status(self) -> TaskStatus:
        """Return what it is doing."""
        context = self._context
        return TaskStatus(self.name, self._shown_state(), context.restarts if context else 0, self._error)

    @property
    def task(self) -> asyncio.Task[None]:
        """The asyncio task; it was begun."""
        assert self._task is not None
        return self._task

    @property
    def is_alive(self) -> bool:
        """Whether the asyncio task exists and has not ended. One whose loop was closed never runs again."""
        return self._task is not None and not self._task.done() and not self._task.get_loop().is_closed()

    def reset(self) -> None:
        """Forget the run before."""
        assert not self.is_alive
        self._state, self._error, self._context, self._task = State.NEW, None, None, None

    def begin(self, group: str, cpu: CpuWork, scope: Context) -> None:
        """Start it in a copy of `scope`; it must not be alive."""
        assert not self.is_alive
        if self.options.cpu_bound:
            cpu.open()  # the workers warm up while the service starts
        self._context = TaskContext(self.name, cpu if self.options.cpu_bound else None)
        self._state, self._error = State.RUNNING, None
        self._task = asyncio.get_running_loop().create_task(
            self._live(self._context), name=f"{group}:{self.name}", context=scope.copy()
        )
        self._task.add_done_callback(self._ended)

    async def until_ready(self) -> None:
        """Wait until it said so or returned. Raises StartupFailed, StartupTimeout."""
        assert self._context is not None
        ready = asyncio.ensure_future(self._context.readiness.wait())
        try:
            await asyncio.wait(
                {ready, self.task}, timeout=self.options.startup_timeout, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ready.cancel()
        if self._context.readiness.is_set() or self._state is State.FINISHED:
            return
        if self.is_alive:
            raise StartupTimeout(
                f"task {self.name!r} was not ready within {self.options.startup_timeout:g} s: it must call"
                " context.ready(), or be given a longer startup_timeout"
            ) from self._error
        raise StartupFailed(f"task {self.name!r} {self._state} before it was ready: {self._error!r}") from self._error

    def ask_to_stop(self) -> float:
        """Let it know of the end; return the share of its `shutdown_timeout` it may use before it is cancelled."""
        assert self._context is not None
        self._context.ask_to_stop()
        return OWN_SHARE if self._context.heeds_stop and self._state is not State.BACKOFF else 0.0

    def give_up(self) -> None:
        """Count it as a straggler, cancel it a last time and say where it hangs."""
        _log.error(
            "task %r did not end within %g s, at %s", self.name, self.options.shutdown_timeout, _place(self.task)
        )
        self._state = State.STRAGGLER
        self.task.cancel()

    async def _live(self, context: TaskContext) -> None:
        failures = 0
        while True:
            began = self._clock.now()
            error = await self._attempt(context)
            if error is not None:
                self._error = error
            lived = self._clock.now() - began
            step = self.options.policy.after(error, lived, failures, self._clock.random())
            if isinstance(step, Again) and self._was_told_to_end():
                step = Over("it was told to stop")
            if isinstance(step, Over):
                self._over(error, step.why)
                return
            failures = step.failures
            self._log_end(error, f"begins again in {step.delay_seconds:.3g} s")
            self._state = State.BACKOFF
            await self._clock.sleep(step.delay_seconds)
            context.restarts += 1
            self._state = State.RUNNING

    async def _attempt(self, context: TaskContext) -> BaseException | None:
        """Run the user's code once; return what it died of."""
        try:
            await self._function(context)
        except asyncio.CancelledError as exc:
            if _is_cancelled():
                raise
            return exc  # something it waited for was cancelled, not the task: a death like any other
        except Exception as exc:  # noqa: BLE001 - any error of a task is for its restart policy, and is logged there
            return exc
        return None

    def _over(self, error: BaseException | None, why: str) -> None:
        self._state = State.FINISHED if error is None else State.FAILED
        self._log_end(error, f"does not begin again: {why}")
        if error is not None and self._on_failure is not None:
            try:
                self._on_failure(self.status())
            except Exception:  # noqa: BLE001 - somebody else's code; its error is told, and the task is over all the same
                _log.exception("on_failure raised for task %r", self.name)

    def _log_end(self, error: BaseException | None, then: str) -> None:
        if error is None:
            _log.info("task %r returned; it %s", self.name, then)
        else:
            _log.error("task %r died: %r; it %s", self.name, error, then, exc_info=error)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Note the ends that no code above sees: cancelled, even before the first step, or an exit of the program."""
        if task is not self._task:
            return
        if task.cancelled():
            self._state = State.STOPPED
        elif (error := task.exception()) is not None:
            self._state, self._error = State.FAILED, error

    def _was_told_to_end(self) -> bool:
        return self._is_stopping() or _is_cancelled()

    def _is_stopping(self) -> bool:
        return self._context is not None and self._context.is_asked_to_stop

    def _shown_state(self) -> State:
        if self._state is not State.RUNNING:
            return self._state
        if self._is_stopping():
            return State.STOPPING
        waited_for = self.options.startup is Startup.WAIT
        return State.STARTING if waited_for and self._context and not self._context.readiness.is_set() else self._state


OWN_SHARE = 0.8
"""Of `shutdown_timeout`, for a task that looks at `stopping`; the rest is for its clean-up after it was cancelled."""


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _place(task: asyncio.Task[None]) -> str:
    """Say where a task waits, outermost first: `poll (app.py:12) > fetch (app.py:40) > sleep (tasks.py:639)`."""
    steps = []
    inner: object = task.get_coro()
    while inner is not None:
        frame = getattr(inner, "cr_frame", None)
        if frame is not None and frame.f_code.co_filename != __file__:
            file = frame.f_code.co_filename.rpartition("/")[2]
            steps.append(f"{frame.f_code.co_name} ({file}:{frame.f_lineno})")
        inner = getattr(inner, "cr_await", None)
    return " > ".join(steps) or "an unknown place"
