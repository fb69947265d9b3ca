"""How fast a crawl goes and how long the rest may take. Plain arithmetic on snapshots."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from crawler.engine.snapshot import Snapshot

NOW_SECONDS = 5.0
"""What "now" looks back on: long enough to be readable, short enough to show a change."""
TREND_SECONDS = 30.0
"""What an estimate looks back on."""
LEAST_SECONDS = 3.0
"""Of experience, before anything is estimated."""
LEAST_SHRINKING = 0.01
"""Share of what ends that the queue must shrink by for the end to be in sight."""


class Left(NamedTuple):
    """Seconds until the end, if things go on as they do: at least `low`, at most `high` (None: no telling)."""

    low: float
    high: float | None


class _Mark(NamedTuple):
    seconds: float
    pages: int
    wire_bytes: int
    done: int
    ended: int
    pending: int


class Pace:
    """Remembers half a minute of snapshots. Feed it in the order in which they were taken."""

    def __init__(self, max_pages: int | None = None, max_seconds: float | None = None) -> None:
        """Take the limits of the job, which may end it before its work does."""
        self._max_pages = max_pages
        self._max_seconds = max_seconds
        self._marks: deque[_Mark] = deque()

    def add(self, snapshot: Snapshot) -> None:
        """Take a snapshot."""
        ended = snapshot.done + snapshot.redirected + snapshot.failed + snapshot.files
        mark = _Mark(snapshot.seconds, snapshot.pages, snapshot.wire_bytes, snapshot.done, ended, snapshot.pending)
        self._marks.append(mark)
        # One mark older than the window stays, so that the window is always covered, however rarely we are fed.
        while len(self._marks) > 2 and mark.seconds - self._marks[1].seconds >= TREND_SECONDS:
            self._marks.popleft()

    def now(self) -> tuple[float, float]:
        """Return pages and bytes per second of the last seconds."""
        if not self._marks:
            return 0.0, 0.0
        last = self._marks[-1]
        if len(self._marks) == 1:  # pages and bytes of a run start at zero
            seconds = max(last.seconds, 1e-3)
            return last.pages / seconds, last.wire_bytes / seconds
        first = self._back(NOW_SECONDS)
        seconds = max(last.seconds - first.seconds, 1e-3)
        return (last.pages - first.pages) / seconds, (last.wire_bytes - first.wire_bytes) / seconds

    def left(self) -> Left | None:
        """Estimate the rest; None while there is nothing to base it on.

        What is pending gives the least time: it is known and must be fetched, at best at the better speed of late. The
        most is what it takes at the slowest rate at which the queue shrank of late, new links and slow hosts that are
        left over included; while it does not shrink, nobody can tell. A limit cuts both.
        """
        last = self._marks[-1] if self._marks else None
        if last is None or last.seconds - self._marks[0].seconds < LEAST_SECONDS:
            return None
        spans = [(mark, last.seconds - mark.seconds) for mark in (self._marks[0], self._back(NOW_SECONDS))]
        speed = max((last.ended - mark.ended) / seconds for mark, seconds in spans)
        shrinking = min((mark.pending - last.pending) / seconds for mark, seconds in spans)
        done_per_second = max((last.done - mark.done) / seconds for mark, seconds in spans)
        if speed <= 0:
            return None if self._max_seconds is None else self._limited(Left(0.0, None), 0.0)
        low = last.pending / speed
        high = max(low, last.pending / shrinking) if shrinking > speed * LEAST_SHRINKING else None
        return self._limited(Left(low, high), done_per_second)

    def _back(self, seconds: float) -> _Mark:
        """Return the youngest mark that is this old, or the oldest."""
        last = self._marks[-1]
        return next((mark for mark in reversed(self._marks) if last.seconds - mark.seconds >= seconds), self._marks[0])

    def _limited(self, left: Left, done_per_second: float) -> Left:
        last = self._marks[-1]
        caps: list[float] = []
        if self._max_seconds is not None:
            caps.append(max(0.0, self._max_seconds - last.seconds))
        if self._max_pages is not None and done_per_second > 0:
            caps.append(max(0.0, (self._max_pages - last.done) / done_per_second))
        if not caps:
            return left
        cap = min(caps)
        return Left(min(left.low, cap), cap if left.high is None else min(left.high, cap))
