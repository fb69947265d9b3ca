"""Functions that workers run in these tests; imported by name, so this folder is on sys.path (see conftest.py)."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn


def echo(*args: object, **kwargs: object) -> tuple[tuple[object, ...], dict[str, object]]:
    return args, kwargs


def same(value: object) -> object:
    return value


def pid_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def mark(path: str, seconds: float = 0.0) -> int:
    """Leave a line in a file, so that a test can count how often a task was started."""
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    return os.getpid()


def catastrophic() -> object:
    """Hold the GIL in C for longer than anyone will wait."""
    return re.match(r"(a+)+$", "a" * 60 + "b")


def die(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(5)


def leave(code: int) -> NoReturn:
    os._exit(code)


def segfault() -> object:
    return ctypes.string_at(0)


class TwoArguments(Exception):
    """Pickles, and then does not load: its __init__ wants more than Exception was given."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")
        self.what = what


class Optional(Exception):
    """Loads, but as something else: what it gave to Exception becomes its first argument."""

    def __init__(self, what: str, why: str = "no reason") -> None:
        super().__init__(f"{what}: {why}")


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("it holds a function")
        self.function: Callable[[], None] = lambda: None


def fail(kind: str) -> NoReturn:
    match kind:
        case "two":
            raise TwoArguments("page", "too odd")
        case "optional":
            raise Optional("page", "too odd")
        case "unpicklable":
            raise Unpicklable
        case "local":

            class Local(Exception):
                pass

            raise Local("nobody can import me")
        case "exit":
            sys.exit(3)
        case "interrupt":
            raise KeyboardInterrupt
        case "stop":
            raise StopIteration(1)
    raise ValueError(kind)


def give_lambda() -> object:
    return lambda: None


def shout(text: str) -> None:
    print(text)
    sys.stdout.flush()
    print(text, file=sys.stderr)


def stdin_is_empty() -> bool:
    return sys.stdin.read() == ""


def loaded(names: list[str]) -> list[str]:
    return [name for name in names if name in sys.modules]


def facts() -> dict[str, object]:
    return {
        "nice": os.nice(0),
        "group": os.getpgid(0),
    }


def fork_and_return() -> int:
    """Let a forked child fall out of the task as well: it must not answer in the worker's name."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return child


def grandchild() -> int:
    return subprocess.run([sys.executable, "-c", "print(1)"], stdout=subprocess.PIPE, check=True).returncode


def numbers(data: bytearray) -> int:
    data[0] = 7  # buffers that came out of band are the worker's own, and writable
    return sum(data[:4])


def interrupt_me() -> str:
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.05)
    return "still here"


def hoard(megabytes: int, seconds: float = 0.0) -> int:
    """Take memory, really: every page is written."""
    data = bytearray(megabytes << 20)
    data[::4096] = b"1" * len(data[::4096])
    time.sleep(seconds)
    return len(data)


KEPT: list[bytearray] = []


def keep(megabytes: int) -> int:
    """Take memory and never give it back."""
    data = bytearray(megabytes << 20)
    data[::4096] = b"1" * len(data[::4096])
    KEPT.append(data)
    return os.getpid()


def endless_list() -> NoReturn:
    """Raise MemoryError where there is a limit."""
    data = []
    while True:
        data.append(bytearray(1 << 20))


def big_result(megabytes: int) -> bytes:
    return bytes(megabytes << 20)


def log(name: str, level: int, text: str, count: int = 1) -> None:
    for number in range(count):
        logging.getLogger(name).log(level, "%s %d", text, number, extra={"page": 7, "what": object})


def log_trouble() -> None:
    try:
        raise ValueError("inner")
    except ValueError:
        logging.getLogger("trouble").exception("it went wrong")


def log_from_threads(count: int) -> bytes:
    """Log from several threads while the answer, a large one, is on its way."""
    import threading

    def work(number: int) -> None:
        for _ in range(count):
            logging.getLogger("threads").warning("from %d", number)

    logging.getLogger("threads").warning("start")
    for number in range(3):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    return b"x" * 2_000_000


def log_in_a_fork() -> None:
    logging.getLogger("fork").warning("parent")
    child = os.fork()
    if not child:
        logging.getLogger("fork").warning("from the fork")
        os._exit(0)
    os.waitpid(child, 0)


def warn(text: str) -> None:
    import warnings

    warnings.warn(text, stacklevel=1)


def flood(seconds: float) -> int:
    """Print without end, for a while."""
    until = time.monotonic() + seconds
    sent = 0
    while time.monotonic() < until:
        sent += os.write(1, b"spam, spam, spam\n" * 1000)
    return sent


def leave_a_child(seconds: float) -> int:
    """Fork a child that outlives this worker."""
    child = os.fork()
    if not child:
        time.sleep(seconds)
        os._exit(0)
    return child


def fork_and_die(seconds: float) -> None:
    leave_a_child(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


def close_standard_files() -> str:
    for fd in (0, 1, 2):
        os.close(fd)
    return "done"


def close_everything() -> None:
    os.closerange(3, 256)


def raise_base() -> NoReturn:
    raise BaseException("of the worst kind")


def nested(values: list[int]) -> list[object]:
    """Be a task that has a pool of its own."""
    from pipelines.pool.pool import WorkerPool

    with WorkerPool(1, spare=False) as pool:
        return [pool.submit(same, value).result(10) for value in values]


def nested_crash() -> None:
    from pipelines.pool.pool import WorkerPool

    with WorkerPool(1, spare=False) as pool:
        pool.submit(leave, 5).result(10)


PREPARED: list[str] = []


def prepare() -> None:
    PREPARED.append("once")


def prepared() -> list[str]:
    return PREPARED


def refuse_to_start() -> NoReturn:
    raise RuntimeError("no database here")


def stop_me() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(30)


def at_exit(path: str) -> int:
    """Leave a mark when the worker ends in order."""
    import atexit

    atexit.register(Path(path).write_text, "ended in order")
    return os.getpid()


def prepare_slowly() -> None:
    time.sleep(0.5)


def big_text(megabytes: int) -> str:
    """Fit into the address space, and not with the pickle of it as well."""
    return "x" * (megabytes << 20)


def address_space() -> tuple[int, int]:
    import resource

    return resource.getrlimit(resource.RLIMIT_AS)


def sleep_at_exit(seconds: float) -> int:
    import atexit

    atexit.register(time.sleep, seconds)
    return os.getpid()


class Load:
    """An initializer with a large state."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __call__(self) -> None:
        assert len(self.data) == 3_000_000


class Slow:
    """Takes its time to be compared."""

    @classmethod
    def some(cls) -> list[Slow]:
        return [cls() for _ in range(100)]

    def __lt__(self, other: Slow) -> bool:
        time.sleep(0.1)
        return False


def clean_up(path: str, seconds: float = 30.0) -> str:
    """Say in a file that it has begun, and in the end that it could clean up."""
    file = Path(path)
    try:
        file.write_text("began")
        time.sleep(seconds)
    finally:
        logging.getLogger("unwinding").warning("cleaning up")
        file.write_text("cleaned up")
        return "a part of the result"  # noqa: B012 - it must not count


async def clean_up_async(path: str) -> None:
    import asyncio

    write = Path(path).write_text
    try:
        write("began")
        await asyncio.sleep(30)
    finally:
        await asyncio.sleep(0.7)
        write("cleaned up")


def never_end(path: str) -> NoReturn:
    """Swallow whatever is raised here, and note it."""
    with Path(path).open("a", buffering=1) as file:
        file.write("began\n")
        while True:
            try:
                time.sleep(30)
            except BaseException as exc:  # noqa: BLE001 - as bad code does
                file.write(f"swallowed {type(exc).__name__}\n")


def log_without_end(path: str) -> None:
    """Log more than a socket takes, again and again."""
    file = Path(path)
    try:
        file.write_text("began")
        while True:
            logging.getLogger("unwinding").warning("x" * 400_000)
    finally:
        file.write_text("cleaned up")


def count_in_c(path: str) -> int:
    """Hold the GIL and never look for signals, as a regular expression at least does."""
    Path(path).write_text("began")
    return sum(range(10**12))


def have_a_handler(path: str) -> str:
    """Be a task that takes SIGTERM for itself."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    return clean_up(path)


def big_result_after(seconds: float, megabytes: int) -> bytes:
    time.sleep(seconds)
    return big_result(megabytes)


def fail_at_length(size: int) -> NoReturn:
    raise ValueError("x" * size)


def digest_after(body: bytes, seconds: float) -> str:
    """Wait first: whoever overwrites an argument before its task was answered is found out."""
    time.sleep(seconds)
    return hashlib.sha256(body).hexdigest()


_kept: list[bytearray] = []


def keep_buffer(buffer: bytearray) -> list[str]:
    """Keep an argument that came out of band; return the digests of all that were kept, as they are now."""
    _kept.append(buffer)
    return [hashlib.sha256(kept).hexdigest() for kept in _kept]
