"""What a pool tells about itself."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class Death(StrEnum):
    """Why a worker is no more, other than by our leave (recycled, closed)."""

    TIMEOUT = "timeout"
    """Killed: its task ran past the deadline."""
    OOM = "oom"
    """Killed, by us or by the kernel: its task took too much memory."""
    STOPPED = "stopped"
    """Killed: nobody wanted what it ran any more."""
    CRASH = "crash"
    """Died while it ran a task."""
    IDLE = "idle"
    """Died while it ran nothing: killed from outside."""
    START = "start"
    """Died before it was ready."""


class PoolStats(NamedTuple):
    """A pool at one moment."""

    workers: int = 0
    """Processes alive, those that warm up included, spares not."""
    ready: int = 0
    """Of those, the ones that are through with their warm-up."""
    busy: int = 0
    spares: int = 0
    """Processes that are or will soon be warm and get no task before another one dies."""
    queued: int = 0
    """Tasks that no worker has started."""
    queued_bytes: int = 0
    """What those that no worker was sent hold, pickled."""
    done: int = 0
    """Tasks that came back, with a value or with an exception of their own."""
    ok: int = 0
    errors: int = 0
    timeouts: int = 0
    crashes: int = 0
    oom: int = 0
    """Tasks that took too much memory, whether they raised MemoryError or were killed."""
    cancelled: int = 0
    """Cancelled or stopped by their caller."""
    deaths: Mapping[Death, int] = MappingProxyType(dict.fromkeys(Death, 0))
    recycled: int = 0
    """Workers that were replaced because of their age or size."""
    restarts: int = 0
    """Workers put to work beyond the first ones."""
    peak_rss_bytes: int = 0
    """The largest resident size of any one worker seen so far."""
