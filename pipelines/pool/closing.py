"""How far the end of a pool has come: no more tasks, then a drain, then a hint to go, then the kill."""

from __future__ import annotations

from math import inf

EXIT_SECONDS = 0.5
"""What an idle worker gets to exit by itself at the close."""


class Closing:
    """Times of one pool's end, in monotonic seconds. Asked again, an end comes sooner, never later."""

    def __init__(self) -> None:
        self.drain_until = inf
        self.exit_until = inf  # after this, kill; set once the drain is over
        self.has_begun = False
        self.grace = EXIT_SECONDS

    @property
    def is_drained(self) -> bool:
        """The workers have been told to go."""
        return self.exit_until < inf

    def begin(self, now: float, drain_seconds: float, grace_seconds: float) -> None:
        """Take no more, and finish what was taken within `drain_seconds`. With no grace, idle workers are killed."""
        self.has_begun = True
        self.drain_until = min(self.drain_until, now + drain_seconds)
        self.grace = min(self.grace, grace_seconds)
        if self.is_drained and not grace_seconds:
            self.exit_until = now

    def drained(self, now: float) -> None:
        """Begin to wait for the workers to go."""
        self.exit_until = now + self.grace

    def killed(self, now: float) -> None:
        """Look again in a while: a process in the kernel's hands may take its time to die."""
        self.exit_until = now + EXIT_SECONDS

    def due(self) -> float:
        """Return when something is to be done."""
        return self.exit_until if self.is_drained else self.drain_until
