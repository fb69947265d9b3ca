"""What a manager tells of its tasks: one value per task while it runs, one report of a stop."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a task is in its life."""

    NEW = "new"
    """Not begun."""
    STARTING = "starting"
    """Begun; the service waits for its `ready()`."""
    RUNNING = "running"
    BACKOFF = "backoff"
    """It ended and begins again after a delay."""
    STOPPING = "stopping"
    """It was asked to stop and has not ended yet."""
    FINISHED = "finished"
    """It returned."""
    STOPPED = "stopped"
    """It was cancelled, by `stop` or by someone else."""
    FAILED = "failed"
    """It died and does not begin again."""
    STRAGGLER = "straggler"
    """It was given up at the stop: it neither ended in time nor when it was cancelled. It may still run."""


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """A task at one moment."""

    name: str
    state: State
    restarts: int
    """Since it was begun."""
    error: BaseException | None
    """What it died of last, even if it runs again."""


@dataclass(frozen=True, slots=True)
class StopReport:
    """How a stop went; names of tasks that were alive when it began, in the order they were added."""

    ended: tuple[str, ...] = ()
    """Returned."""
    cancelled: tuple[str, ...] = ()
    """Ended when they were cancelled."""
    failed: tuple[str, ...] = ()
    """Died on the way."""
    stragglers: tuple[str, ...] = ()
    """Did not end within their `shutdown_timeout`; may still run."""
    seconds: float = 0.0
