"""Functions that workers run in these tests; imported by name, so this folder is on sys.path (see conftest.py)."""

from __future__ import annotations

import ctypes
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
