"""Pools for tests, and the proof that each leaves nothing behind."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from pipelines.pool.pool import WorkerPool
from tests.support.leftovers import nothing_left, young_heap

sys.path.insert(0, str(Path(__file__).parent))  # pool_tasks, for this process and for its workers

uvloop.new_event_loop().close()  # its first loop opens two descriptors that stay


@pytest.fixture(scope="module", autouse=True)
def few_objects() -> Iterator[None]:
    """For two looks a test at what is left."""
    with young_heap():
        yield


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No test leaves a descriptor, a process or a thread that was not there before it, nor one that a worker left."""
    with nothing_left():
        yield


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    """Two workers."""
    with WorkerPool(2, name="test") as pool:
        yield pool


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait until something is true, for at most five seconds."""

    def wait(condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 5.0
        while not condition():
            assert time.monotonic() < until, "it did not happen within 5 s"
            time.sleep(0.005)

    return wait
