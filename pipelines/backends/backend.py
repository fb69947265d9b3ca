"""What every place that runs CPU work has in common, and what it can promise."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from enum import StrEnum
from typing import Any, Protocol


class Guarantee(StrEnum):
    """A promise that not every backend can make."""

    OFF_LOOP = "off_loop"
    """`submit` returns before the task has run."""
    PARALLEL = "parallel"
    """Python code of several tasks runs at the same time."""
    DEADLINE = "deadline"
    """A task past its deadline is killed, whatever it does, and its place comes back."""
    ISOLATION = "isolation"
    """A task that kills its process fails alone, with WorkerCrashed."""
    NO_ORPHANS = "no_orphans"
    """Nothing outlives a parent that is killed."""


class Backend(Protocol):
    """Runs functions. Owned by whoever made it, who closes it."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """What it promises; the rest is lacking."""

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, deadline: float | None = None, **kwargs: Any
    ) -> Future[Any]:
        """Run `fn(*args, **kwargs)`; `deadline` in seconds, ignored without Guarantee.DEADLINE.

        Raises PoolClosed after `close`; TaskNotPicklable here or as the future's exception.
        """

    def close(self, *, timeout: float = 5.0) -> None:
        """Take no more tasks, finish those taken, free everything.

        `timeout`: seconds for the finishing; without Guarantee.DEADLINE there is no limit.
        """
