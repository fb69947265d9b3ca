"""Where a stream or a coroutine runs: a pool, a backend, an executor; what it can be asked, and what not."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from pickle import dumps
from typing import Any, Protocol

from pipelines.backends.backend import Guarantee
from pipelines.cpus import available_cpus
from pipelines.errors import TaskNotPicklable
from pipelines.pool.limited import Limited
from pipelines.pool.names import homeless, name_of


class Submits(Protocol):
    """A `WorkerPool`, any `Backend`; or what takes no deadline: `WorkerPool.limited()`, any standard `Executor`."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start `fn` and return its future; `deadline=` in seconds, when one is wanted."""


def check_deadline(pool: object, deadline: float | None) -> None:
    """Raise ValueError for a deadline that the pool would take for an argument of the function."""
    if deadline is not None and isinstance(pool, Executor | Limited):
        raise ValueError(
            f"deadline: a {type(pool).__name__} takes none with a task; give it to `WorkerPool.limited` or `executor`, "
            "or use a `Backend`"
        )


def workers_of(pool: object) -> int:
    """Return how many tasks a pool or backend runs at a time, as far as it tells; else the CPUs of this process."""
    for place in (pool, getattr(pool, "pool", None)):  # a pool, a backend over one
        if isinstance(workers := getattr(place, "workers", None), int):
            return workers
    return available_cpus().count


def packed_function(func: Callable[..., Any], pool: Submits) -> bytes:
    """Return the pickle of a function. Raises TaskNotPicklable, with advice."""
    guarantees = getattr(pool, "guarantees", frozenset(Guarantee))
    if Guarantee.ISOLATION in guarantees and not isinstance(pool, Executor) and (refusal := homeless(func)):
        raise TaskNotPicklable(refusal)
    try:
        return dumps(func, 5)
    except Exception as exc:
        raise TaskNotPicklable(
            f"{name_of(func)} cannot be sent to a worker: {exc}; "
            "it must be a function that a worker can import by name (no lambda, no nested function)"
        ) from exc
