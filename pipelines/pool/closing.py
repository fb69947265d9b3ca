"""How far the end of a pool has come: no more tasks, then a drain, then a hint to go, then the kill.

The hint is the same half second for all: an idle worker sees end of file, a task that runs raises SystemExit.
"""

from __future__ import annotations

from math import inf

EXIT_SECONDS = 0.5
"""What a worker gets to exit by itself at the close, after the task it runs has been made to end."""


class Closing:
    """Times of one pool's end, in monotonic seconds. Asked again, an end comes sooner, never later."""

    def __init__(self) -> None:
        self.drain_until = inf
        self.exit_until = inf  # after this, kill; set once the drain is over
        self.has_begun = False
        self.grace = inf
        self.unwinds = True  # what runs at the end of the drain is not killed at once

    @property
    def is_drained(self) -> bool:
        """The workers have been told to go."""
        return self.exit_until < inf

    def begin(self, now: float, drain_seconds: float, grace_seconds: float, *, unwinds: bool = True) -> None:
        """Take no more, and finish what was taken within `drain_seconds`. With no grace, all workers are killed."""
        self.has_begun = True
        self.drain_until = min(self.drain_until, now + drain_seconds)
        self.grace = min(self.grace, grace_seconds)
        self.unwinds = self.unwinds and unwinds
        if self.is_drained:
            self.exit_until = min(self.exit_until, now + grace_seconds)

    def drained(self, now: float) -> None:
        """Begin to wait for the workers to go."""
        self.exit_until = now + self.grace

    def killed(self, now: float) -> None:
        """Look again in a while: a process in the kernel's hands may take its time to die."""
        self.exit_until = now + EXIT_SECONDS

    def due(self) -> float:
        """Return when something is to be done."""
        return self.exit_until if self.is_drained else self.drain_until
