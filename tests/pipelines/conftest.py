"""What the tests of this folder share: functions for workers, a pool, and the proof that nothing is left behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.pool.pool import WorkerPool
from tests.support.leftovers import nothing_left

sys.path.insert(0, str(Path(__file__).parent))  # stream_tasks, for this process and for its workers


@pytest.fixture
def leaves_nothing() -> Iterator[None]:
    """Fail when a descriptor, a process or a thread is left."""
    with nothing_left():
        yield


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    """Two workers."""
    with WorkerPool(2, name="test") as pool:
        yield pool
