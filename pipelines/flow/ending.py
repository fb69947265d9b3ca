"""How work under way is stopped, and how its end is awaited."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any


def stop(future: Future[Any]) -> None:
    """Stop a task that runs, where the pool can; else only one that does not run yet."""
    (getattr(future, "stop", None) or future.cancel)()


async def ended(task: asyncio.Task[Any]) -> None:
    """Return when a task that was cancelled is over, however often the caller is cancelled meanwhile.

    Raises what the task raised, else the caller's cancellation.
    """
    again: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as exc:
            again = exc
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
    if again is not None:
        raise again
