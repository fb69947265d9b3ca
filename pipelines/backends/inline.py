"""Runs a task where it is submitted: for tests and for debuggers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from pipelines.backends.answer import answer
from pipelines.backends.backend import Guarantee, lacking
from pipelines.errors import PoolClosed


class InlineBackend:
    """Every future is done when `submit` returns. KeyboardInterrupt passes through."""

    name = "inline"
    guarantees = frozenset({Guarantee.NO_ORPHANS, Guarantee.BOUNDED_CLOSE, Guarantee.ANY_ERROR, Guarantee.LOGS})

    def __init__(self) -> None:
        self._is_closed = False

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, deadline: float | None = None, **kwargs: Any
    ) -> Future[Any]:
        """Run `fn` now; `deadline` is ignored."""
        if self._is_closed:
            raise PoolClosed("the inline backend is closed; make another one")
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(answer(fn, args, kwargs))
        except Exception as exc:  # noqa: BLE001 - whatever the task raises belongs to the future
            future.set_exception(exc)
        return future

    def close(self, *, timeout: float = 5.0) -> None:
        """Take no more tasks."""
        self._is_closed = True

    def lacking(self) -> list[str]:
        """Return what it does not guarantee, in words."""
        return lacking(self)
