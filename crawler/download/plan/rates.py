"""How fast orders move: measured from reports, so that what stalls looks slow at once and what begins is not blamed.

All rates are bytes a second, all times seconds of whatever clock the caller passes.
"""

from __future__ import annotations

from typing import Final

DEFAULT_RATE: Final = 1024.0 * 1024.0  # before anything was measured
WINDOW: Final = 0.5  # seconds; a rate is that of the last one to two windows
PATIENCE: Final = 0.25  # seconds beyond twice the usual latency before an order without bytes counts as slow
REPORT: Final = 0.2  # seconds; reports of an order that moves are no further apart
MAX_LANES: Final = 64  # remembered; the oldest goes first


class Pace:
    """The movement of one order."""

    __slots__ = ("_at", "_moved_at", "_next_at", "_next_upto", "_upto", "first_byte_at", "taken_at")

    def __init__(self, now: float, upto: int) -> None:
        self.taken_at = now
        self.first_byte_at: float | None = None
        self._at = self._next_at = self._moved_at = now
        self._upto = self._next_upto = upto

    def sent(self, now: float) -> None:
        """Note that the request was sent only now."""
        if self.first_byte_at is None:
            self.taken_at = self._at = self._next_at = self._moved_at = now

    def moved(self, upto: int, now: float) -> None:
        """Note that everything before `upto` is there."""
        self._moved_at = now
        if self.first_byte_at is None:
            self.first_byte_at = self._at = self._next_at = now
            self._upto = self._next_upto = upto
        elif now - self._next_at >= WINDOW:
            self._at, self._upto = self._next_at, self._next_upto
            self._next_at, self._next_upto = now, upto

    def guess(self, upto: int, end: int, rate: float, now: float) -> int:
        """Return where an order that was last seen at `upto` may be by now; short of `end`."""
        if self.first_byte_at is None:
            return upto
        return min(upto + int(rate * min(now - self._moved_at, REPORT)), end - 1)

    def rate(self, upto: int, now: float, usual: float, latency: float) -> float:
        """Return the rate of late, never less than 1: what the others usually reach, until more is known."""
        if self.first_byte_at is None:
            idle = max(now - self.taken_at - 2 * latency, PATIENCE)
            return max(1.0, usual * (PATIENCE / idle) ** 4)
        is_silent = now - self._next_at >= WINDOW  # then what came before it says nothing any more
        at, start = (self._next_at, self._next_upto) if is_silent else (self._at, self._upto)
        elapsed = max(self._moved_at, now - REPORT) - at  # what it did since its last report, the next will tell
        trust = max(0.0, 0.05 - elapsed / 4)  # seconds' worth of the usual rate, until there were two reports
        return max(1.0, (upto - start + usual * trust) / max(elapsed + trust, 0.001))

    def measured(self, first: int, upto: int, now: float) -> float | None:
        """Return the rate as a whole, None when it was too short to tell."""
        if self.first_byte_at is not None and now - self._at >= 0.02 and upto - self._upto >= (upto - first) / 2:
            return (upto - self._upto) / (now - self._at)
        if upto > first and now - self.taken_at >= 0.001:
            return (upto - first) / (now - self.taken_at)
        return None


class Rates:
    """What connections reach. A lane is one connection's place, whatever connection is in it."""

    def __init__(self) -> None:
        self._lanes: dict[int, float] = {}
        self.latency = 0.0
        """From an order to its first bytes, on a moving average."""
        self._has_latency = False

    @property
    def usual(self) -> float:
        """The middle of all lanes, the upper one of two."""
        if not self._lanes:
            return DEFAULT_RATE
        rates = sorted(self._lanes.values())
        return rates[len(rates) // 2]

    @property
    def is_known(self) -> bool:
        """Whether anything was measured."""
        return bool(self._lanes)

    def lane(self, lane: int | None) -> float:
        """Return what may be expected of a lane: its own rate, or the usual one."""
        return self._lanes.get(lane, self.usual) if lane is not None else self.usual

    def began(self, seconds: float) -> None:
        """Note how long an order took to its first bytes."""
        self.latency = seconds if not self._has_latency else 0.75 * self.latency + 0.25 * seconds
        self._has_latency = True

    def reached(self, lane: int, rate: float) -> None:
        """Note what a lane has reached of late."""
        before = self._lanes.pop(lane, rate)
        self._lanes[lane] = (before + rate) / 2
        if len(self._lanes) > MAX_LANES:
            del self._lanes[next(iter(self._lanes))]
