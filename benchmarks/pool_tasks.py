"""What the pools of `pools.py` are given to do: a module, since workers cannot import the script that was started."""

from __future__ import annotations

import os
import signal
import time


def size_of(batch: list[bytes]) -> int:
    """Be a task with no work."""
    return sum(map(len, batch))


def shrink(batch: list[bytes]) -> list[bytes]:
    """Be a task that gives back a fifth of what it got, as a parsed page does."""
    return [page[: len(page) // 5] for page in batch]


def spin(seconds: float) -> float:
    """Use a CPU for so long, holding the interpreter lock."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    return seconds


def die(how: str) -> str:
    """End the worker, or hang it, or do neither."""
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "hangs":
        time.sleep(3600)
    time.sleep(0.02)
    return how
