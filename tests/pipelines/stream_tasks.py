"""Functions that workers run in these tests; imported by name, so this folder is on sys.path."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import NoReturn

CULPRIT = 300
WHO = contextvars.ContextVar("WHO", default="nobody")


def square(number: int) -> int:
    return number * number


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def inflate(size: int) -> bytes:
    return b"r" * size


def slow_if_first(number: int) -> int:
    if number == 0:
        time.sleep(0.6)
    return number


def die_at_culprit(number: int) -> int:
    if number == CULPRIT:
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(5)
    return number


def die_at_every_fiftieth(number: int) -> int:
    if number % 50 == 49:
        os._exit(3)
    return number


def catastrophic() -> object:
    """Hold the GIL in C for longer than anyone will wait."""
    return re.match(r"(a+)+$", "a" * 60 + "b")


def hang_at_culprit(number: int) -> int:
    if number == CULPRIT:
        catastrophic()
    time.sleep(0.001)
    return number


class TwoArguments(Exception):
    """Pickles, and then does not load: its __init__ wants more than Exception was given."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


def odd_fails(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def fails_in_its_way(kind: str) -> str:
    if kind == "two":
        raise TwoArguments("this", "that")
    if kind == "exit":
        raise SystemExit(3)
    if kind == "stop":
        raise StopIteration
    if kind == "cancelled":
        raise asyncio.CancelledError
    return kind


def unpicklable_if_odd(number: int) -> object:
    return (lambda: number) if number % 2 else number


def sleep_and_mark(path: str) -> int:
    """Leave a line at the start and one at the end."""
    with Path(path).open("a") as file:
        file.write("start\n")
    time.sleep(3)
    with Path(path).open("a") as file:
        file.write("end\n")
    return os.getpid()


def pid() -> int:
    return os.getpid()


def fail(text: str) -> NoReturn:
    raise ValueError(text)


def described(*args: object, **kwargs: object) -> tuple[tuple[object, ...], dict[str, object]]:
    return args, kwargs


def thread_and_variable() -> tuple[str, str]:
    return threading.current_thread().name, WHO.get()


def stop_iteration() -> NoReturn:
    raise StopIteration("never into a coroutine")


class Bomb:
    """Pickles, and does not load."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return fail, ("a bomb",)


def bomb_if_odd(number: int) -> object:
    return Bomb() if number % 2 else number


def size_of_bomb(value: object) -> str:
    return repr(value)


async def add_slowly(left: int, right: int, *, seconds: float = 0.01) -> int:
    await asyncio.sleep(seconds)
    return left + right


async def gathered(count: int) -> list[int]:
    return list(await asyncio.gather(*(add_slowly(number, number) for number in range(count))))


async def async_fail(text: str) -> NoReturn:
    await asyncio.sleep(0)
    raise TwoArguments("async", text)


async def cancels_itself() -> None:
    raise asyncio.CancelledError


def note(path: str, text: str) -> None:
    """Leave a line in a file."""
    with Path(path).open("a") as file:
        file.write(f"{text}\n")


async def clean_up(path: str, seconds: float = 0.0) -> None:
    """Tell when it starts, and in `finally` that it ended."""
    note(path, str(os.getpid()))
    try:
        await asyncio.sleep(30)
    finally:
        if seconds:
            await asyncio.sleep(seconds)
        note(path, "cleaned up")


async def swallows_cancellation(path: str) -> str:
    """Ignore being cancelled, for as long as it may live."""
    note(path, str(os.getpid()))
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            continue
    return "never mind"


async def blocks(path: str) -> None:
    """Never give the loop a turn."""
    note(path, str(os.getpid()))
    await asyncio.sleep(0)
    catastrophic()


async def dies() -> None:
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGKILL)


async def loop_kind() -> str:
    return type(asyncio.get_running_loop()).__module__


async def term_handler_is_quiet() -> int:
    """Send this worker what `docker stop` sends to the whole group."""
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.05)
    return os.getpid()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def thousand(data: bytes) -> bytes:
    """Return five times as much as was given."""
    return data * 5


async def fails_to_clean_up(path: str) -> None:
    note(path, str(os.getpid()))
    try:
        await asyncio.sleep(30)
    finally:
        raise OSError("while cleaning up")


def hoard(megabytes: int) -> None:
    """Take memory, really, and keep it for longer than anyone waits."""
    data = bytearray(megabytes << 20)
    data[::4096] = b"1" * len(data[::4096])
    time.sleep(20)
