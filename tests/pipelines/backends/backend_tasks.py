"""Functions that the backends under test run, some of them in other processes."""

from __future__ import annotations

import os
import sys
import time
from typing import NoReturn


def twice(number: int, *, plus: int = 0) -> int:
    return 2 * number + plus


def nap(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


class Odd(Exception):
    pass


def fail() -> NoReturn:
    raise Odd("on purpose")


def leave() -> NoReturn:
    os._exit(3)


def give_up() -> NoReturn:
    sys.exit(3)
