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
    """No test leaves a descriptor, a child or a thread that was not there before it."""
    before = _state()
    yield
    until = time.monotonic() + 1.0
    while _more(_state(), before) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _more(_state(), before)


def _more(now: tuple[int, set[int], set[str]], before: tuple[int, set[int], set[str]]) -> str:
    """Return what there is now that there was not before; fewer is fine: an earlier test may have left it."""
    descriptors = max(0, now[0] - before[0])
    children, threads = now[1] - before[1], now[2] - before[2]
    return f"{descriptors} descriptors, {children}, {threads}" if descriptors or children or threads else ""


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
