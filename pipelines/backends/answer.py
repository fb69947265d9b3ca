"""Runs a task in this process as a worker would: no context of the caller, no exception that ends an interpreter."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any

from pipelines.errors import RemoteError


def answer(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return `fn(*args, **kwargs)`, called in an empty context.

    Raises what it raises, and RemoteError for SystemExit and its like, and for StopIteration: out of a future they
    would end the program, or a coroutine that awaits it. KeyboardInterrupt passes in the main thread, where it comes
    from a person.
    """
    try:
        return Context().run(fn, *args, **kwargs)
    except BaseException as exc:
        if _is_harmless(exc):
            raise
        kind = f"{type(exc).__module__}.{type(exc).__qualname__}".removeprefix("builtins.")
        raise RemoteError(f"{kind}: {exc}") from exc


def _is_harmless(error: BaseException) -> bool:
    if isinstance(error, KeyboardInterrupt):
        return threading.current_thread() is threading.main_thread()
    return isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration)
