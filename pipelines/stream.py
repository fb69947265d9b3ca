"""`stream(func, items)`: any number of items through worker processes, results as they finish, memory bounded.

    async for digest in stream(digest_of, paths):
        ...

How it works: flow/flow.py.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, Generic, Literal, TypedDict, TypeVar, Unpack, overload

from pipelines.cpu import default_pool
from pipelines.flow.flow import Flow, OnDone, Pace, Source
from pipelines.flow.place import Submits
from pipelines.flow.result import Result

__all__ = ["Result", "stream"]

T = TypeVar("T")
R = TypeVar("R")


class Options(TypedDict, Generic[T, R], total=False):
    """What `stream` takes by name, whatever it yields; see there."""

    ordered: bool
    pool: Submits | None
    max_items: int
    max_bytes: int
    batch_items: int
    batch_seconds: float
    on_done: OnDone[T, R] | None
    deadline: float | None


@overload
def stream(
    func: Callable[[T], R],
    items: Source[T],
    *,
    return_errors: Literal[False] = ...,
    **options: Unpack[Options[T, R]],
) -> AsyncGenerator[R, None]: ...


@overload
def stream(
    func: Callable[[T], R],
    items: Source[T],
    *,
    return_errors: Literal[True],
    **options: Unpack[Options[T, R]],
) -> AsyncGenerator[Result[T, R], None]: ...


def stream(
    func: Callable[[T], R],
    items: Source[T],
    *,
    ordered: bool = False,
    pool: Submits | None = None,
    max_items: int = 10_000,
    max_bytes: int = 64 << 20,
    batch_items: int = 1_000,
    batch_seconds: float = 0.03,
    return_errors: bool = False,
    on_done: OnDone[T, R] | None = None,
    deadline: float | None = None,
) -> AsyncGenerator[Any, None]:
    """Yield `func(item)` for every item, computed in worker processes: as they finish, or in the order of the items.

    `func` must be importable by name and may run more than once for an item whose batch broke. `items` may be endless.
    A source that is no async iterable is read on the event loop, a little ahead of the workers: each step should be
    quick; reading from a slow disk is work for a generator that is `async` and uses `run_blocking`. A source that is a
    generator is closed with the stream. An error of the source is raised after the results of what came before it.

    `pool`: None for the one of `run_cpu_async`. With a backend that lacks guarantees (`Guarantee`), `deadline` does
    nothing, a batch that kills its process is the end of the stream, and what runs when the stream is closed runs on to
    its end, at most two `batch_seconds` and one item.

    `max_items`, `max_bytes` bound what was read and not yet handed out: pickled items, pickled results and 320 bytes
    each. One item more is being read, and an item or result larger than its half of `max_bytes` is let through alone.

    `batch_items`, `batch_seconds`: no trip to a worker takes more items than this; their number is chosen so that a
    trip takes about this long.

    `deadline`: seconds one item may take until its worker is killed. In a new worker the imports of `func` count,
    unless the pool's `preload` names its module. A batch that runs over it is searched in halves, each of which may
    take as long again.

    `return_errors`: yield a `Result` for every item, whatever became of it. Otherwise the first error is raised, with a
    note that names the item, and ends the stream; work under way is stopped.

    `on_done(index, result)` is called on the event loop as soon as an item is done, before the result waits its turn.
    What it raises ends the stream.

    Closing, by `aclose`, an error or cancellation, also of a single `anext`, stops work under way and leaves nothing;
    workers that do not finish their trip within two `batch_seconds` and 0.2 s are killed. A loop that is left early
    closes the stream when it is collected, or at once with `contextlib.aclosing`.

    Raises TaskNotPicklable when `func` cannot be sent; while iterating also PoolBroken, PoolClosed.
    """
    _refuse_below_one(max_items=max_items, max_bytes=max_bytes, batch_items=batch_items)
    if not batch_seconds > 0:
        raise ValueError(f"batch_seconds: expected seconds > 0, got {batch_seconds}")
    flow: Flow[T, R] = Flow(
        func, default_pool() if pool is None else pool, pace=Pace(batch_seconds, batch_items), ordered=ordered,
        max_items=max_items, max_bytes=max_bytes, deadline=deadline, on_done=on_done, return_errors=return_errors,
    )  # fmt: skip
    return flow.run(items)


def _refuse_below_one(**bounds: int) -> None:
    for name, value in bounds.items():
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
