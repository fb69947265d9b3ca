"""How long the event loop keeps others waiting: the proof that it does no CPU work."""

from __future__ import annotations

import asyncio

INTERVAL = 0.01  # seconds between two looks
_BUCKETS_PER_MS = 4
_BUCKETS = 4000  # up to one second in quarter milliseconds; longer lags count in the last, the maximum is kept exactly


class LagMeter:
    """Asks to be called every ten milliseconds and counts by how much that was late. Bounded memory."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._counts = [0] * _BUCKETS
        self._due = 0.0
        self._handle: asyncio.TimerHandle | None = None
        self.max_seconds = 0.0
        self.samples = 0

    def start(self) -> None:
        """Begin to measure."""
        self._due = self._loop.time() + INTERVAL
        self._handle = self._loop.call_at(self._due, self._look)

    def stop(self) -> None:
        """End the measurement; the figures stay."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _look(self) -> None:
        now = self._loop.time()
        late = max(0.0, now - self._due)
        self.samples += 1
        self.max_seconds = max(self.max_seconds, late)
        self._counts[min(_BUCKETS - 1, int(late * 1000 * _BUCKETS_PER_MS))] += 1
        self._due = now + INTERVAL
        self._handle = self._loop.call_at(self._due, self._look)

    def quantile(self, share: float) -> float:
        """Return the lag in seconds below which this share of the samples lies, rounded up to a quarter millisecond."""
        goal = share * self.samples
        total = 0
        for bucket, count in enumerate(self._counts):
            total += count
            if total >= goal and count:
                return min(self.max_seconds, (bucket + 1) / _BUCKETS_PER_MS / 1000)
        return 0.0
