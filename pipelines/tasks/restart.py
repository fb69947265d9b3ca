"""Whether and when a task that ended begins again. Decides only: time and chance are given to it.

A failure soon after the last one counts one more in a row, and waits longer; a task that lived for `reset_after` starts
anew with the short delay. So a service whose database is away for an hour is there when it comes back, and one that
fails once a day is not given up after a week.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum


class Restart(StrEnum):
    """After which ends a task begins again."""

    NEVER = "never"
    ON_ERROR = "on_error"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Clock:
    """Where restarts take time and chance from; tests give others."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    random: Callable[[], float] = random.random
    """In [0, 1)."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential delays with jitter, so that services that failed together do not come back together.

    The n-th restart in a row waits `first * factor ** (n - 1)` seconds, at most `maximum`, less a random share of up to
    `jitter`. A task that lived for `reset_after` seconds begins to count anew.
    """

    first: float = 0.5
    factor: float = 2.0
    maximum: float = 60.0
    jitter: float = 0.5
    reset_after: float = 60.0

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.maximum:
            raise ValueError(f"backoff: expected 0 < first <= maximum, got {self.first} and {self.maximum}")
        if self.factor < 1:
            raise ValueError(f"backoff.factor: expected at least 1, got {self.factor}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"backoff.jitter: expected a share from 0 to 1, got {self.jitter}")
        if self.reset_after < 0:
            raise ValueError(f"backoff.reset_after: expected seconds >= 0, got {self.reset_after}")

    def delay(self, number: int, chance: float) -> float:
        """Return the seconds before the restart of this number, counted from 1; `chance` in [0, 1)."""
        try:
            grown = min(self.maximum, self.first * self.factor ** (number - 1))
        except OverflowError:
            grown = self.maximum
        return grown * (1 - self.jitter * chance)


@dataclass(frozen=True, slots=True)
class Again:
    """The task begins again after a delay."""

    delay_seconds: float
    failures: int
    """In a row, this one included."""


@dataclass(frozen=True, slots=True)
class Over:
    """The task does not begin again."""

    why: str


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """What was declared for a task."""

    restart: Restart
    max_restarts: int | None
    """Failures in a row after which it is given up; None: never."""
    backoff: Backoff

    def after(self, error: BaseException | None, lived_seconds: float, failures: int, chance: float) -> Again | Over:
        """Decide after an end: by `error`, or a return; `failures` came before it in a row."""
        if error is None:
            if self.restart is not Restart.ALWAYS:
                return Over("it returned")
            return Again(self.backoff.delay(1, chance), 0)
        if self.restart is Restart.NEVER:
            return Over("restart is never")
        failures = 1 if lived_seconds >= self.backoff.reset_after else failures + 1
        if self.max_restarts is not None and failures > self.max_restarts:
            return Over(f"restarted {self.max_restarts} times in a row")
        return Again(self.backoff.delay(failures, chance), failures)
