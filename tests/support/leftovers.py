"""Proof that a test leaves no descriptor, process, thread or task behind."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36  # <sys/prctl.h>
PR_GET_CHILD_SUBREAPER = 37
SECONDS = 2.0
"""How long what ends may take to be gone."""


class State(NamedTuple):
    """What a process holds. Descriptors are counted by what they point to, so that neither a number that is used again
    nor another one that was closed meanwhile hides a leak."""

    descriptors: Counter[str]
    processes: frozenset[int]
    threads: frozenset[threading.Thread]

    def beyond(self, before: State) -> str:
        """Return what there is here that was not there before; fewer is fine: an earlier test may have left it."""
        found = (
            self.descriptors - before.descriptors, self.processes - before.processes, self.threads - before.threads
        )  # fmt: skip
        return ", ".join(str(kind) for kind in found if kind)


def state() -> State:
    """Look at this process."""
    gc.collect()
    return State(_descriptors(), family(), frozenset(threading.enumerate()))


def family() -> frozenset[int]:
    """Return all processes below this one; those whose parent died too, where this process adopts them."""
    found: set[int] = set()
    todo = [os.getpid()]
    while todo:
        for task in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
            try:
                pids = {int(pid) for pid in task.read_text().split()} - found
            except OSError:
                continue  # a process or a thread that has just ended
            found |= pids
            todo += pids
    return frozenset(pid for pid in found if not _is_zombie_of_nobody(pid))


_orphans: set[int] = set()


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


def _descriptors() -> Counter[str]:
    found: Counter[str] = Counter()
    for link in Path("/proc/self/fd").iterdir():
        try:
            found[re.sub(r"\d+", "N", str(link.readlink()))] += 1
        except OSError:
            continue  # the one that lists the folder
    return found


@contextmanager
def _adopting() -> Iterator[None]:
    """Adopt what loses its parent: a worker's child would otherwise leave the family unseen."""
    libc = ctypes.CDLL(None)
    was = ctypes.c_int()
    libc.prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(was), 0, 0, 0)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, was.value, 0, 0, 0)


@contextmanager
def nothing_left(seconds: float = SECONDS) -> Iterator[None]:
    """Fail when something is still there `seconds` after the block that was not there before it."""
    with _adopting():
        before = state()
        yield
        until = time.monotonic() + seconds
        while (left := state().beyond(before)) and time.monotonic() < until:
            _orphans.update(family() - before.processes)
            time.sleep(0.02)
    assert not left, left


@contextmanager
def young_heap() -> Iterator[None]:
    """Let looks at what is left pass over what is in memory already: all that the tests before left in this process.

    Each look collects garbage, which takes a second after some thousand tests, and some files look hundreds of times.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def other_tasks() -> set[str]:
    """Return the names of the running loop's tasks beside this one."""
    return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def tasks_end(seconds: float = 2.0) -> None:
    """Wait until the running loop has no task beside this one."""
    until = time.monotonic() + seconds
    while left := other_tasks():
        assert time.monotonic() < until, left
        await asyncio.sleep(0.005)
