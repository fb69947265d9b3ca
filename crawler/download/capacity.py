"""How many connections help: begin with all that are allowed, give up those that bring nothing, heed refusals.

Every connection costs the server something. While all of them work, the rate of the whole is measured; now and then it
is tried with fewer, and where that loses nothing it stays so (by 1, then 2, then 4: multiplicative decrease). Later it
is tried with one more again (additive increase). A trial that loses is ended after one window, and the pause before the
next one doubles, so that trials cost less than one part in a hundred of a long download and nothing of a short one.

A server that refuses the K+1st connection (429, 503, a reset) is asked for it again only after a pause, which doubles.
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf
from typing import Final

WINDOW: Final = 1.0  # seconds in which all connections have to work for a rate to be measured
SETTLE: Final = 0.25  # seconds after a change before measuring begins: connections speed up
SHORT: Final = 0.05  # seconds; a connection that takes its next order is not idle
FIRST_TRIAL: Final = 5.0  # seconds
LAST_PAUSE: Final = 300.0  # seconds; pauses double up to this
FORGIVE: Final = 30.0  # seconds before one connection more is tried after a refusal
KEPT: Final = 0.98  # of the rate has to remain for fewer connections to be enough
LEAST: Final = 2  # with one connection nobody could help out when it stalls


class _Trial(Enum):
    NONE = auto()
    FEWER = auto()
    MORE = auto()


class Capacity:
    """The number of connections for one file at one server."""

    def __init__(self, limit: int) -> None:
        assert limit >= 1, "a download needs a connection"
        self.limit = limit
        """As many as the user allows."""
        self.current = limit
        """As many as help, as far as is known: never above `limit`."""
        self.refused_above: int | None = None
        """The server was seen to refuse more than this; None when it never refused."""
        self._trial = _Trial.NONE
        self._before = limit  # connections before the trial
        self._base = 0.0  # bytes a second before the trial
        self._step = 1
        self._pause = FIRST_TRIAL
        self._next_trial: float | None = None
        self._began = -inf  # of the window
        self._bytes = 0
        self._short_since: float | None = None
        self._forgive_at = inf
        self._forgive_pause = FORGIVE

    def moved(self, got: int, active: int, now: float) -> None:
        """Note `got` new bytes while `active` orders were under way."""
        if self._next_trial is None:
            self._next_trial = now + self._pause
            self._restart(now)
        if now >= self._forgive_at and self.refused_above is not None:
            self._forgive(now)
        if active != self.current and not self._is_brief(active, now):
            self._restart(now)
            return
        if now >= self._began:
            self._bytes += got
        if now - self._began >= WINDOW:
            self._measured(self._bytes / (now - self._began), now)
            self._restart(now if self._trial is _Trial.NONE else now + SETTLE)

    def refused(self, active: int, now: float) -> None:
        """Note that the server refused a connection while `active` others were under way."""
        known = max(1, active)
        self.refused_above = known if self.refused_above is None else min(self.refused_above, known)
        self.current = min(self.current, self.refused_above)
        self._forgive_at = now + self._forgive_pause
        self._forgive_pause = min(2 * self._forgive_pause, LAST_PAUSE)
        self._trial = _Trial.NONE
        self._restart(now)

    def _forgive(self, now: float) -> None:
        assert self.refused_above is not None
        self._forgive_at = now + self._forgive_pause
        was_at_limit = self.current == self.refused_above
        self.refused_above = self.refused_above + 1 if self.refused_above + 1 < self.limit else None
        if was_at_limit:
            self.current = min(self.current + 1, self.limit)
            self._restart(now)

    def _is_brief(self, active: int, now: float) -> bool:
        """Return whether fewer than all are at work only since a moment."""
        if active > self.current:
            return False
        if self._short_since is None:
            self._short_since = now
        return now - self._short_since <= SHORT

    def _restart(self, now: float) -> None:
        self._began = now
        self._bytes = 0
        self._short_since = None

    def _measured(self, rate: float, now: float) -> None:
        match self._trial:
            case _Trial.NONE:
                self._base = rate
                assert self._next_trial is not None
                if now >= self._next_trial:
                    self._try(now)
            case _Trial.FEWER if rate >= KEPT * self._base:
                self._step *= 2
                self._pause = FIRST_TRIAL / 2
                self._end(now)
            case _Trial.MORE if rate >= self._base * (1 + 0.5 / self._before):
                self._pause = FIRST_TRIAL
                self._end(now)
            case _:
                self.current = self._before
                self._step = 1
                self._pause = min(2 * self._pause, LAST_PAUSE)
                self._end(now)

    def _try(self, now: float) -> None:
        """Begin a trial: fewer first; one more where fewer was tried last and something was given up before."""
        self._before = self.current
        top = self.limit if self.refused_above is None else min(self.limit, self.refused_above)
        if self.current > LEAST and not (self._step == 1 and self.current < top and self._pause > FIRST_TRIAL):
            self._trial = _Trial.FEWER
            self.current = max(LEAST, self.current - self._step)
        elif self.current < top:
            self._trial = _Trial.MORE
            self.current += 1
        else:
            self._next_trial = now + self._pause

    def _end(self, now: float) -> None:
        self._trial = _Trial.NONE
        self._next_trial = now + self._pause
