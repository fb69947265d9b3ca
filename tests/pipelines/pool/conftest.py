"""Pools for tests, and the proof that each leaves nothing behind."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from pipelines.pool.pool import WorkerPool

sys.path.insert(0, str(Path(__file__).parent))  # pool_tasks, for this process and for its workers

uvloop.new_event_loop().close()  # its first loop opens two descriptors that stay


def _children() -> set[int]:
    found = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found |= {int(pid) for pid in (task / "children").read_text().split()}
        except OSError:
            continue
    return found


def _state() -> tuple[int, set[int], set[str]]:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir())), _children(), {thread.name for thread in threading.enumerate()}


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Compare descriptors, children and threads before and after each test."""
    before = _state()
    yield
    after = _state()
    until = time.monotonic() + 1.0
    while after != before and time.monotonic() < until:
        time.sleep(0.02)
        after = _state()
    assert after == before


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
