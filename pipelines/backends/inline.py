"""Runs a task where it is submitted: for tests and for debuggers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from pipelines.backends.backend import Guarantee
from pipelines.errors import PoolClosed


class InlineBackend:
    """Every future is done when `submit` returns."""

    name = "inline"
    guarantees: frozenset[Guarantee] = frozenset()

    def __init__(self) -> None:
        self._is_closed = False

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, deadline: float | None = None, **kwargs: Any
    ) -> Future[Any]:
        """Run `fn` now; `deadline` is ignored."""
        if self._is_closed:
            raise PoolClosed("the inline backend is closed")
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as exc:  # noqa: BLE001 - whatever the task raises belongs to the future
            future.set_exception(exc)
        return future

    def close(self, *, timeout: float = 5.0) -> None:
        """Take no more tasks."""
        self._is_closed = True
