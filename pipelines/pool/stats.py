"""What a pool tells about itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Death(StrEnum):
    """Why a worker is no more."""

    TIMEOUT = "timeout"
    """Killed: its task ran past the deadline."""
    CRASH = "crash"
    """Died while it ran a task."""
    IDLE = "idle"
    """Died while it ran nothing: killed from outside."""
    START = "start"
    """Died before it was ready."""


@dataclass(frozen=True, slots=True)
class PoolStats:
    """A pool at one moment."""

    workers: int
    """Processes alive, those that warm up included."""
    ready: int
    """Of those, the ones that are through with their warm-up."""
    busy: int
    queued: int
    """Tasks that no worker has started."""
    done: int
    """Tasks that came back, with a value or with an exception of their own."""
    deaths: dict[Death, int]
    restarts: int
    peak_rss_bytes: int
    """The largest resident size of any one worker seen so far, as of the calls of `stats` and at the close."""
