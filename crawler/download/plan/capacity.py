"""How many connections help: begin with all that are allowed, give up those that bring nothing, heed refusals.

Every connection costs the server something. While all of them work, the rate of the whole is measured; now and then it
is tried with fewer, and where that loses nothing it stays so (by 1, then 2, then 4: multiplicative decrease). Later it
is tried with one more (additive increase). A trial that clearly loses is ended after a glance, and the pause before the
next one doubles, so that trials cost about one part in a hundred of a long download and nothing of a short one.

A server that refuses the K+1st connection is asked for it again only after a pause: `refusals`.
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf
from typing import Final

from crawler.download.plan.refusals import Refusal

WINDOW: Final = 2.0  # seconds in which all connections have to work for a rate to be measured
GLANCE: Final = 0.75  # seconds after which a trial that clearly loses is ended
SETTLE: Final = 0.25  # seconds after a change before measuring begins: connections speed up
SHORT: Final = 0.05  # seconds; a connection that takes its next order is not idle
FIRST_TRIAL: Final = 15.0  # seconds; a trial costs an eighth of a second or more
AGAIN: Final = 2.0  # seconds until the next trial after one that went well
LAST_PAUSE: Final = 300.0  # seconds; pauses double up to this
KEPT: Final = 0.96  # of the best rate has to remain for fewer connections to be enough; reports are that coarse
LOST: Final = 0.9  # of the best rate: clearly less
FADE: Final = 0.995  # what the best rate still counts a window later: networks change
LEAST: Final = 2  # with one connection nobody could help out when it stalls


class _Trial(Enum):
    NONE = auto()
    FEWER = auto()
    MORE = auto()


class Capacity:
    """The number of connections for one file at one server."""

    def __init__(self, limit: int, refusal: Refusal | None = None) -> None:
        """`refusal`: what the server refused before, to begin with; owned from now on."""
        assert limit >= 1, "a download needs a connection"
        self.limit = limit
        """As many as the user allows."""
        self._refusal = refusal or Refusal()
        self.current = self._top
        """As many as help, as far as is known: never above `limit`."""
        self._trial = _Trial.NONE
        self._next = _Trial.FEWER
        self._before = self.current  # connections before the trial
        self._best = 0.0  # bytes a second
        self._last = 0.0  # in the window before the trial
        self._step = 1
        self._pause = FIRST_TRIAL
        self._next_trial: float | None = None
        self._began = inf  # of the window
        self._is_open = False
        self._bytes = 0
        self._short_since: float | None = None

    @property
    def refused_above(self) -> int | None:
        """The server was seen to refuse more than this; None when it refused none, or all is forgiven."""
        return self._refusal.above

    @property
    def is_reaching(self) -> bool:
        """Whether one connection more than helped before is being tried."""
        return self._trial is _Trial.MORE

    def moved(self, got: int, active: int, now: float) -> None:
        """Note `got` new bytes while `active` orders were under way."""
        if self._next_trial is None:
            self._next_trial = now + self._pause
            self._restart(now)
        self._forgive(now)
        if not self._is_steady(active, now):
            self._restart(now)
            return
        if not self._is_open:
            self._is_open = now >= self._began
            self._began = max(self._began, now)  # with a report, whose own bytes came before
            return
        age = now - self._began
        self._bytes += got
        if age <= 0:
            return
        rate = self._bytes / age
        if age >= WINDOW or (age >= GLANCE and self._trial is _Trial.FEWER and rate < LOST * self._best):
            self._measured(rate, now)
            self._restart(now)

    def refused(self, active: int, now: float) -> None:
        """Note that the server refused a connection while `active` others were under way."""
        self._refusal.refused(active, now)
        self.current = min(self.current, self._top)
        self._trial = _Trial.NONE
        self._restart(now)

    @property
    def _top(self) -> int:
        above = self._refusal.above
        return self.limit if above is None else min(self.limit, above)

    def _forgive(self, now: float) -> None:
        """Allow more than the server refused, when it is time; it is used if all that were allowed were."""
        was_at_top = self.current == self._top
        if self._refusal.forgive(self.limit, now) and was_at_top:
            self.current = self._top
            self._restart(now)

    def _is_steady(self, active: int, now: float) -> bool:
        """Return whether as many as should be are at work, but for a moment."""
        if active == self.current:
            self._short_since = None
            return True
        if active > self.current:
            return False
        if self._short_since is None:
            self._short_since = now
        return now - self._short_since <= SHORT

    def _restart(self, now: float) -> None:
        """Begin a new window."""
        self._began = now if self._trial is _Trial.NONE else now + SETTLE
        self._is_open = False
        self._bytes = 0

    def _measured(self, rate: float, now: float) -> None:
        """Draw the conclusion from a window."""
        match self._trial:
            case _Trial.NONE:
                self._last = rate
                self._best = max(rate, FADE * self._best)
                assert self._next_trial is not None, "set at the first report"
                if now >= self._next_trial:
                    self._try(now)
                return
            case _Trial.FEWER:
                is_good = rate >= KEPT * self._best
            case _Trial.MORE:
                is_good = rate >= self._last * (1 + 0.5 / self._before)
        if is_good:
            self._step *= 2
            self._pause = FIRST_TRIAL
            self._next_trial = now + AGAIN
        else:
            self.current = min(self._before, self._top)
            self._step = 1
            self._pause = min(2 * self._pause, LAST_PAUSE)
            self._next_trial = now + self._pause
            self._next = _Trial.MORE if self._next is _Trial.FEWER else _Trial.FEWER
        self._trial = _Trial.NONE

    def _try(self, now: float) -> None:
        """Begin a trial, in the direction that went well before, or in the other."""
        can_less, can_more = self.current > LEAST, self.current < self._top
        self._before = self.current
        if can_less and (self._next is _Trial.FEWER or not can_more):
            self._next = self._trial = _Trial.FEWER
            self.current = max(LEAST, self.current - max(self._step, self.current // 8))
        elif can_more:
            self._next = self._trial = _Trial.MORE
            self.current += 1
        else:
            self._next_trial = now + self._pause
