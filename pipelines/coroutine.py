"""A coroutine in a worker: an event loop for it alone, and a way to cancel it from the other process.

The parent opens a pipe and tells its own process id and the descriptor; the worker opens the reading end through
`/proc/PID/fd/N`. When the parent writes, the coroutine is cancelled like any other: `finally` blocks run. A pipe and
not a signal: a signal that comes too late hits the worker's next task. Costs the worker nothing to import.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


class Pipe(NamedTuple):
    """Where the wish to stop is to be read: a descriptor of another process."""

    pid: int
    fd: int

    def path(self) -> str:
        """Return the file that is the pipe; there is none where the system has no such /proc."""
        return f"/proc/{self.pid}/fd/{self.fd}"


def run_coroutine(
    coro_func: Callable[..., Coroutine[Any, Any, T]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
    pipe: Pipe | None,
) -> T | None:
    """Run `coro_func(*args, **kwargs)` to its end, like `asyncio.run`. Returns None when it was stopped by the pipe."""
    import asyncio  # 40 ms that a worker pays once it has such a task

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(_watched(coro_func, args, kwargs, -1 if pipe is None else _opened(pipe)))


async def _watched(
    coro_func: Callable[..., Coroutine[Any, Any, T]], args: tuple[Any, ...], kwargs: dict[str, Any], fd: int
) -> T | None:
    import asyncio

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    is_stopped = False

    def stop() -> None:
        nonlocal is_stopped
        is_stopped = True
        loop.remove_reader(fd)
        task.cancel()

    try:
        if fd >= 0:
            loop.add_reader(fd, stop)
        return await coro_func(*args, **kwargs)
    except asyncio.CancelledError as exc:
        if is_stopped:
            return None  # nobody waits for it
        # To the parent a CancelledError would say that its own task was cancelled.
        raise RuntimeError("the coroutine was cancelled in the worker, by itself or by what it waited for") from exc
    finally:
        if fd >= 0:
            loop.remove_reader(fd)
            os.close(fd)


def _opened(pipe: Pipe) -> int:
    try:
        return os.open(pipe.path(), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # another user's process, or a /proc that hides it: then only killing stops the coroutine
        return -1
