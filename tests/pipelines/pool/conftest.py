"""Pools for tests, and the proof that each leaves nothing behind."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import uvloop

from pipelines.pool.pool import WorkerPool

sys.path.insert(0, str(Path(__file__).parent))  # pool_tasks, for this process and for its workers

uvloop.new_event_loop().close()  # its first loop opens two descriptors that stay


PR_SET_CHILD_SUBREAPER = 36  # <sys/prctl.h>


class State(NamedTuple):
    """What a process holds, counted so that a number that is used again does not hide a leak."""

    descriptors: Counter[str]
    children: frozenset[int]
    threads: frozenset[threading.Thread]

    def beyond(self, before: State) -> str:
        """Return what there is here that was not there before; fewer is fine: an earlier test may have left it."""
        found = (self.descriptors - before.descriptors, self.children - before.children, self.threads - before.threads)
        return ", ".join(str(kind) for kind in found if kind)


def _children() -> frozenset[int]:
    """Return all processes below this one that are alive; those whose parent died are ours (see `nothing_is_left`)."""
    found: set[int] = set()
    todo = [os.getpid()]
    while todo:
        for task in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
            try:
                pids = {int(pid) for pid in task.read_text().split()} - found
            except OSError:
                continue
            found |= pids
            todo += pids
    return frozenset(pid for pid in found if not _is_zombie_of_nobody(pid))


def _is_zombie_of_nobody(pid: int) -> bool:
    """Reap an orphan that has ended; a zombie that a parent forgot is a leak."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        if fields[0] == "Z" and int(fields[1]) == os.getpid() and pid in _orphans:
            os.waitpid(pid, os.WNOHANG)
            return True
    except (OSError, ChildProcessError):
        return True
    return False


_orphans: set[int] = set()


def _descriptors() -> Counter[str]:
    found: Counter[str] = Counter()
    for link in Path("/proc/self/fd").iterdir():
        try:
            found[re.sub(r"\d+", "N", str(link.readlink()))] += 1
        except OSError:
            continue  # the one that lists the folder
    return found


def _state() -> State:
    gc.collect()
    return State(_descriptors(), _children(), frozenset(threading.enumerate()))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No test leaves a descriptor, a process or a thread that was not there before it, nor one that a worker left.

    This process adopts what loses its parent meanwhile, or a worker's child would leave the family unseen.
    """
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = _state()
    yield
    until = time.monotonic() + 2.0
    while (left := _state().beyond(before)) and time.monotonic() < until:
        _orphans.update(_children() - before.children)
        time.sleep(0.02)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    assert not left


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
