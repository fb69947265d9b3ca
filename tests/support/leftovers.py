"""Proof that a test leaves no descriptor, child process, thread or task behind."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def children() -> set[int]:
    """Return the process ids of this process's children."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found |= {int(pid) for pid in (task / "children").read_text().split()}
        except OSError:  # a thread that has just ended
            continue
    return found


def _state() -> tuple[int, set[int], set[threading.Thread]]:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir())), children(), set(threading.enumerate())


def _more(before: tuple[int, set[int], set[threading.Thread]]) -> str:
    """Return what there is now that there was not before; fewer is fine: an earlier test may have left it."""
    now = _state()
    descriptors = max(0, now[0] - before[0])
    processes, threads = now[1] - before[1], now[2] - before[2]
    if not (descriptors or processes or threads):
        return ""
    return f"{descriptors} descriptors, processes {processes}, threads {[thread.name for thread in threads]}"


@contextmanager
def nothing_left(seconds: float = 1.0) -> Iterator[None]:
    """Fail when something is still there `seconds` after the block."""
    before = _state()
    yield
    until = time.monotonic() + seconds
    while _more(before) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _more(before)


def other_tasks() -> set[str]:
    """Return the names of the running loop's tasks beside this one."""
    return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def tasks_end(seconds: float = 2.0) -> None:
    """Wait until the running loop has no task beside this one."""
    until = time.monotonic() + seconds
    while left := other_tasks():
        assert time.monotonic() < until, left
        await asyncio.sleep(0.005)
