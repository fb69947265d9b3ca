"""Time that passes only when somebody sleeps, and a manager that is stopped after the test whatever happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from pipelines.tasks import BackgroundTaskManager, Clock


@pytest.fixture(autouse=True)
def _nothing_is_left(leaves_nothing: None) -> None:
    """Neither a service that ended nor one that was cut short leaves a process, a thread or a descriptor."""


class FakeTime:
    """A clock for restarts; `slept` holds every delay."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []
        self.clock = Clock(lambda: self.seconds, self.sleep, lambda: 0.0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


@pytest.fixture
def fake_time() -> FakeTime:
    """Restarts without waiting."""
    return FakeTime()


@pytest.fixture
async def manage() -> AsyncIterator[Callable[..., BackgroundTaskManager]]:
    """Make managers; each is stopped at the end of the test."""
    made: list[BackgroundTaskManager] = []

    def make(*tasks: Any, **options: Any) -> BackgroundTaskManager:
        made.append(BackgroundTaskManager(*tasks, **options))
        return made[-1]

    yield make
    for manager in made:
        await asyncio.wait_for(manager.stop(), 10)


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Any]:
    """Wait until something is true, for at most five seconds."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - any condition, also one that sets no event
                await asyncio.sleep(0.002)

    return wait
