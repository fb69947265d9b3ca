"""One function for work that would block the event loop, and one for calls that block it.

`run_cpu_async` is for Python code that computes: it runs in a worker process, on another core. `run_blocking` is for
libraries that wait (files, databases, clients without asyncio) and for C code that frees the GIL: it runs in a thread,
costs less, needs no pickling, and cannot be stopped.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from asyncio import wait, wrap_future
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from pipelines.cpus import available_cpus
from pipelines.memory import share_of_memory
from pipelines.pool.names import name_of
from pipelines.pool.pool import WorkerPool
from pipelines.threads import Threads

P = ParamSpec("P")
T = TypeVar("T")

BLOCKING_THREADS = 32
"""As many as asyncio's own `to_thread` has on a large machine. Threads that wait cost little."""

_log = logging.getLogger("pipelines")


class _Defaults:
    """What this process shares: made when first asked for, in whichever thread, and never inherited by a fork."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pool: WorkerPool | None = None
        self.is_ours = False
        self.threads: Threads | None = None


_defaults = _Defaults()
_inherited: list[_Defaults] = []  # of the processes this one was forked from: not ours to use, nor to tear down


def _after_fork() -> None:
    global _defaults
    _inherited.append(_defaults)
    _defaults = _Defaults()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


async def run_cpu_async(func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `func(*args, **kwargs)` in a worker process of the default pool and return its result.

    For work that computes in Python for a millisecond and more; a call costs about 0.1 ms. `func` must be importable by
    name (not defined in the script that was started), arguments and result must pickle. Cancelling this stops the work:
    its worker is killed and replaced. For a deadline, another memory limit or other workers make a `WorkerPool`; for
    many items use `stream`.

    Raises what `func` raised, with the worker's traceback; TaskNotPicklable, WorkerCrashed, WorkerOutOfMemory,
    PoolBroken.
    """
    return await default_pool().run(func, *args, **kwargs)


async def run_blocking(func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `func(*args, **kwargs)` in a thread and return its result; context variables are carried along.

    For calls that wait, and for C code that frees the GIL (hashing, compression, most of numpy). Python code that
    computes stays on this core there and slows the loop down: `run_cpu_async`. At most 32 run at a time, the others
    wait their turn.

    A thread cannot be stopped: after a cancellation this returns at once, the call runs on to its end and its result is
    dropped; a call that has not started never does. At exit the program waits at most 5 s for such calls, and names in
    the log those it then abandons.
    """
    call = partial(copy_context().run, func, *args, **kwargs)
    return await wrap_future(_threads().start(name_of(func), call))


def default_pool() -> WorkerPool:
    """Return the pool of this process, made now if there is none: a worker for every CPU this process may use.

    A worker above its share of the memory (`share_of_memory`) is killed, and its task alone fails. For another number
    of workers or another limit make a `WorkerPool` and `set_default_pool`.
    """
    defaults = _defaults
    with defaults.lock:
        if defaults.pool is None:
            defaults.pool, defaults.is_ours = _made(), True
        return defaults.pool


def _made() -> WorkerPool:
    cpus = available_cpus()
    try:
        memory = share_of_memory(cpus.count)
    except OSError as exc:
        _log.info("default pool: %d workers (%s), without a memory limit: %s", cpus.count, cpus.why, exc)
        return WorkerPool(cpus.count, name="default")
    size = memory.bytes >> 20
    _log.info("default pool: %d workers (%s), each of %d MiB (%s)", cpus.count, cpus.why, size, memory.why)
    # No limit of the address space, which elsewhere follows from a memory limit: nobody asked for this one, and what
    # reserves far more than it touches (GPUs, WebAssembly, memory maps) would not even start.
    return WorkerPool(cpus.count, name="default", memory_limit=memory.bytes, address_space_limit=sys.maxsize)


def set_default_pool(pool: WorkerPool | None) -> WorkerPool | None:
    """Use `pool` for `run_cpu_async` and its sisters from now on; it stays the caller's to close.

    None: make one again when it is needed. Returns the pool in use before, to be put back or, if it was made here, to
    be closed by the caller.
    """
    defaults = _defaults
    with defaults.lock:
        before, defaults.pool, defaults.is_ours = defaults.pool, pool, False
        return before


async def close_default_pool(*, timeout: float = 5.0) -> None:
    """End the default pool and the threads of `run_blocking`; both are made again when they are needed.

    What runs gets `timeout` seconds to finish; a thread that takes longer runs on. Without this the pool ends with the
    program. A pool that was set by hand is only forgotten.
    """
    defaults = _defaults
    with defaults.lock:
        pool, is_ours, threads = defaults.pool, defaults.is_ours, defaults.threads
        defaults.pool = defaults.threads = None
    if threads is not None:
        threads.shutdown(wait=False)
        if unfinished := [wrap_future(future) for future in threads.unfinished()]:
            await wait(unfinished, timeout=timeout)
    if pool is not None and is_ours:
        await pool.aclose(timeout=timeout)


def _threads() -> Threads:
    defaults = _defaults
    with defaults.lock:
        if defaults.threads is None:
            defaults.threads = Threads(BLOCKING_THREADS, name="blocking")
        return defaults.threads
