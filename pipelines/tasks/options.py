"""What is declared for a task, and the decorator that declares it. Nothing is registered here."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeVar

from pipelines.tasks.context import TaskContext
from pipelines.tasks.restart import Backoff, Restart, RestartPolicy

TaskFunction = Callable[[TaskContext], Awaitable[object]]
E = TypeVar("E", bound=StrEnum)
F = TypeVar("F", bound=Callable[..., Awaitable[object]])

_MARK = "__background_task__"


class Startup(StrEnum):
    """When a task begins, and who waits for it."""

    EAGER = "eager"
    """With the service, which does not wait for it."""
    WAIT = "wait"
    """With the service, which waits until the task called `ready()` or returned."""
    LAZY = "lazy"
    """When `manager.begin(name)` is called."""


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """The declaration of a task. Times in seconds."""

    name: str | None = None
    """None: the name of the function."""
    cpu_bound: bool = False
    startup: Startup = Startup.EAGER
    startup_timeout: float = 30.0
    shutdown_timeout: float = 5.0
    policy: RestartPolicy = field(default_factory=lambda: RestartPolicy(Restart.NEVER, None, Backoff()))

    def __post_init__(self) -> None:
        for key in ("startup_timeout", "shutdown_timeout"):
            if not getattr(self, key) > 0:
                raise ValueError(f"task: {key}: expected seconds > 0, got {getattr(self, key)}")
        if self.policy.max_restarts is not None and self.policy.max_restarts < 0:
            raise ValueError(f"task: max_restarts: expected at least 0 or None, got {self.policy.max_restarts}")


def task(
    *,
    name: str | None = None,
    cpu_bound: bool = False,
    startup: Literal["eager", "wait", "lazy"] = "eager",
    startup_timeout: float = 30.0,
    shutdown_timeout: float = 5.0,
    restart: Literal["never", "on_error", "always"] = "never",
    max_restarts: int | None = None,
    backoff: Backoff | None = None,
) -> Callable[[F], F]:
    """Declare an async function as a background task; `BackgroundTaskManager.add` reads what was declared.

    The function stays what it is and can be called as before. Also for a `functools.partial` and, in its class, for a
    method.

    `name`: None for the function's. `cpu_bound`: it may call `context.run_cpu`. `startup`: "eager", "wait" or "lazy",
    see Startup. `startup_timeout`: seconds a service waits for `ready()`. `shutdown_timeout`: seconds from the stop to
    the moment it is given up. `restart`: "never", "on_error" or "always". `max_restarts`: failures in a row after
    which it is given up; None for never.

    Raises ValueError for a value that is none of these.
    """
    options = TaskOptions(
        name,
        cpu_bound,
        _one_of(Startup, "startup", startup),
        startup_timeout,
        shutdown_timeout,
        RestartPolicy(_one_of(Restart, "restart", restart), max_restarts, backoff or Backoff()),
    )

    def declare(function: F) -> F:
        if not callable(function):
            raise TypeError(f"task: expected an async function, got {function!r}")
        try:
            setattr(function, _MARK, options)
        except AttributeError as exc:
            raise TypeError(f"task: {function!r}: declare a method in its class, or give a functools.partial") from exc
        return function

    return declare


def declared(function: Callable[..., Any]) -> TaskOptions:
    """Return what was declared for a function, for what a partial holds, or the defaults."""
    while True:
        options: TaskOptions | None = getattr(function, _MARK, None)
        if options is not None:
            return options
        if not isinstance(function, functools.partial):
            return TaskOptions()
        function = function.func


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function, of a method, of what a partial holds, or of the class of a callable object."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def check_function(function: Callable[..., Any]) -> None:
    """Raise TypeError for what cannot be a task: not async, or not callable with the context alone."""
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    call = inspect.getattr_static(type(inner), "__call__", None)  # of an object whose class is callable
    if not inspect.iscoroutinefunction(inner) and not inspect.iscoroutinefunction(call):
        raise TypeError(
            f"task: expected an async function, got {function!r}; call what blocks inside one, with"
            " `await context.run_cpu(...)` or `await asyncio.to_thread(...)`"
        )
    try:
        inspect.signature(function).bind(None)
    except TypeError as exc:
        raise TypeError(f"task {name_of(function)!r}: it is called with the context alone: {exc}") from exc


def _one_of(kind: type[E], key: str, value: str) -> E:
    try:
        return kind(value)
    except ValueError:
        names = ", ".join(f'"{each.value}"' for each in kind)
        raise ValueError(f"task: {key}: expected one of {names}, got {value!r}") from None
