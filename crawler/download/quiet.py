"""Waiting that a cancellation does not cut short: for what must be known to have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

T = TypeVar("T")


async def uninterrupted(awaitable: Awaitable[T]) -> T:
    """Wait for the end of `awaitable` and return its result; when cancelled meanwhile, raise that afterwards.

    What runs in a thread cannot be stopped: whoever owns what it makes, or what it works on, has to wait for it.
    """
    task = asyncio.ensure_future(awaitable)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        _ = task.cancelled() or task.exception()  # seen: the cancellation is what counts
        raise cancelled
    return task.result()


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended; what they raise is seen."""
    for task in tasks:
        task.cancel()
    if tasks:
        await uninterrupted(asyncio.wait(tasks))
    for task in tasks:
        _ = task.cancelled() or task.exception()


async def first_of(*futures: asyncio.Future[Any]) -> None:
    """Wait until one of them is done."""
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
