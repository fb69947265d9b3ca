"""The circuit breaker: when deaths in a row say that starting yet another worker is pointless.

A death that takes a task with it is progress, of a kind: that task is answered. So those may go on for longer than
failures to start, which change nothing. A death by deadline says nothing about the next worker and is not counted.
"""

from __future__ import annotations

MAX_START_FAILURES = 5
MAX_CRASHES = 20
"""Bisecting a batch of 65,536 pages down to the one that kills takes 17 deaths, in the worst case in a row."""
CRASHES_PER_FINISHED, MOST_CRASHES = 0.1, 1000
"""A pool that has finished thousands of tasks is in order: what is left at the end of a long crawl may be nothing but
the pages that kill, each of which is tried again. A pool that never worked is given up after `MAX_CRASHES`."""
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.02, 5.0


class Breaker:
    """Counts deaths in a row. Once `is_open`, it stays open."""

    def __init__(self) -> None:
        self.is_open = False
        self._start_failures = 0
        self._crashes = 0
        self._finished = 0

    def started(self) -> None:
        """A worker became ready."""
        self._start_failures = 0

    def finished(self) -> None:
        """A worker answered a task."""
        self._crashes = 0
        self._finished += 1

    def failed_to_start(self, *, others_work: bool) -> bool:
        """A worker died before it was ready; return whether to give up, which is never while others work."""
        self._start_failures += 1
        return self._start_failures >= MAX_START_FAILURES and not others_work

    def crashed(self, finished: int) -> bool:
        """A worker that had finished so many tasks died in one; return whether to give up."""
        if finished == 0:
            self._crashes += 1
        return self._crashes >= min(max(MAX_CRASHES, self._finished * CRASHES_PER_FINISHED), MOST_CRASHES)

    def pause_seconds(self) -> float:
        """Return how long to wait before the next start."""
        return min(FIRST_PAUSE_SECONDS * 2.0**self._start_failures, LAST_PAUSE_SECONDS)
