"""Several managers as one lifespan of a FastAPI or Starlette application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from pipelines.tasks.manager import BackgroundTaskManager


def lifespan(*managers: BackgroundTaskManager) -> Callable[[object], AbstractAsyncContextManager[dict[str, object]]]:
    """Return what `FastAPI(lifespan=...)` wants: starts the managers in order, stops them in reverse.

    Yields the managers under their names, which must differ; raises ValueError here if they do not.
    """
    names = [manager.name for manager in managers]
    if len(set(names)) < len(names):
        raise ValueError(f"lifespan: expected managers with different names, got {', '.join(names)}")

    @asynccontextmanager
    async def run(app: object) -> AsyncIterator[dict[str, object]]:
        async with AsyncExitStack() as stack:
            for manager in managers:
                await stack.enter_async_context(manager)
            yield dict(zip(names, managers, strict=True))

    return run
