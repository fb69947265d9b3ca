"""What the rules for backends have run, in whatever process that may be; every worker can import it by name."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import NoReturn

MARK: ContextVar[str] = ContextVar("MARK", default="default")
MEBIBYTE = 1 << 20


class TaskError(Exception):
    """What a task raises on purpose."""


class TwoArguments(Exception):
    """Pickles, and does not load again: its `__init__` wants more than it hands on."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


class HoldsFunction(Exception):
    """Does not pickle."""

    def __init__(self) -> None:
        super().__init__("it holds a function")
        self.function: Callable[[], None] = lambda: None


def plus(number: int, *, fn: int = 0, self: int = 0) -> int:
    """Return the sum; the keywords have the names that a careless `submit` keeps for itself."""
    return number + fn + self


def nap(seconds: float) -> int:
    """Wait, and return the process."""
    time.sleep(seconds)
    return os.getpid()


def nap_marking(seconds: float, path: str) -> None:
    """Write this process's id into a file, then wait."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(seconds)


def fail(kind: str) -> NoReturn:
    """Raise."""
    match kind:
        case "two arguments":
            raise TwoArguments("page", "too odd")
        case "unpicklable":
            raise HoldsFunction
        case "SystemExit":
            sys.exit(3)
        case "StopIteration":
            raise StopIteration(3)
    raise TaskError(kind)


def give_function() -> Callable[[], None]:
    """Return what does not pickle."""
    return lambda: None


def die(kind: str) -> object:
    """End this process without a word."""
    match kind:
        case "SIGKILL":
            os.kill(os.getpid(), signal.SIGKILL)
        case "SIGSEGV":
            return ctypes.string_at(0)
        case "os._exit":
            os._exit(3)
    time.sleep(30)  # a signal takes its time
    raise TaskError(f"{kind} did not end the process")


def fork() -> bool:
    """Let a forked child come back from the task as well; it must not answer for its parent."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return child != 0


def hold_lock(letters: int) -> object:
    """Hold the interpreter lock in C code, for twice as long with each letter."""
    return re.match(r"(a+)+$", "a" * letters + "b")


def hog(limit_mebibytes: int) -> int:
    """Take memory, page by page, up to a limit; return how much it was."""
    taken: list[bytearray] = []
    while len(taken) * 16 < limit_mebibytes:
        taken.append(bytearray(os.urandom(64)) * (16 * MEBIBYTE // 64))
        time.sleep(0.01)
    return len(taken) * 16


def weigh(payload: bytes) -> tuple[int, str]:
    """Return length and digest."""
    return len(payload), hashlib.sha256(payload).hexdigest()


def give(size: int) -> bytes:
    """Return so many bytes."""
    return b"x" * size


def tenfold(data: bytes) -> bytes:
    """Return ten times as much as was given."""
    return data * 10


def read_mark() -> str:
    """Return the context variable, and change it."""
    found = MARK.get()
    MARK.set("set in the task")
    return found


def log(text: str) -> None:
    """Log a warning."""
    logging.getLogger("pipelines.testing").warning("%s", text)


def nested() -> int:
    """Use a pool of processes of one's own."""
    from pipelines.pool.pool import WorkerPool  # a task may run where nobody needs a pool

    with WorkerPool(1, name="nested") as pool:
        future = pool.submit(plus, 3, fn=4)
        return future.result(30)
