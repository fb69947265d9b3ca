"""When a host may be asked again: one small clock per host, told of every start and every end.

Everything it knows is folded into one number, `ready_at`: the first instant at which a request may start. It is
infinite while as many requests are under way as the host is granted, so a host at its limit cannot be chosen. The
invariants:

- never more than `per_host` requests under way;
- two starts are never closer than the larger of `delay` and the Crawl-delay of robots.txt;
- after consecutive failures nothing starts for `backoff`, doubled each time up to `backoff_max`, until a success;
- nothing starts before the end of a pause that the server asked for (Retry-After), success or not.

Times are seconds of one monotonic clock; which one is the caller's affair.
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import Final, NamedTuple


class Verdict(Enum):
    """What an exchange says about the host, not about the page."""

    ALIVE = "alive"
    """Any answer that is neither overload nor a server error: 2xx, 3xx, 4xx."""
    FAILED = "failed"
    """No answer or a bad one: refused, reset, timed out, 5xx."""
    OVERLOADED = "overloaded"
    """It asked for less: 429, or 503 with Retry-After. Backs off at once."""
    UNKNOWN = "unknown"
    """Nothing was learnt: cancelled, or refused on our side."""


class Politeness(NamedTuple):
    """How hosts are treated. One value for all clocks; times in seconds."""

    per_host: int = 2
    delay: float = 0.0
    """Least time between two starts."""
    backoff: float = 1.0
    """Silence after the failure that starts it."""
    backoff_max: float = 300.0
    tolerated: int = 1
    """Consecutive failures without consequence: one broken page is not a broken host."""


class HostClock:
    """Timing of one host. Ask `may_start` (or compare `ready_at`), then report `started` and, for each, `ended`."""

    __slots__ = (
        "_backoff_until", "_crawl_delay", "_failures", "_last_start", "_paused_until", "_rules", "active", "delay",
        "ready_at",
    )  # fmt: skip

    def __init__(self, rules: Politeness, *, last_start: float = -inf) -> None:
        """`last_start` is known when the host was crawled before a restart."""
        self._rules = rules
        self._crawl_delay = 0.0
        self._last_start = last_start
        self._paused_until = -inf
        self._backoff_until = -inf
        self._failures = 0
        self.delay = rules.delay
        """Least seconds between two starts, as in force."""
        self.active = 0
        """Requests under way."""
        self.ready_at = -inf
        """The first instant at which a request may start; `inf` while the host has all it is granted."""
        self._settle()

    def may_start(self, now: float) -> bool:
        """Return whether a request may start at `now`."""
        return now >= self.ready_at

    def started(self, now: float) -> None:
        """Note that a request starts at `now`, which `may_start` must have granted."""
        assert now >= self.ready_at, "started without may_start"
        self.active += 1
        self._last_start = now
        self._settle()

    def sent(self, now: float) -> None:
        """Note that a started request goes out only at `now`, since its connection had to be made: the delay counts."""
        self._last_start = max(self._last_start, now)
        self._settle()

    def ended(self, now: float, verdict: Verdict) -> None:
        """Note that a request has ended, and what it says about the host."""
        assert self.active > 0, "ended without started"
        self.active -= 1
        if verdict is Verdict.ALIVE:
            self._failures = 0
            self._backoff_until = -inf
        elif verdict is not Verdict.UNKNOWN:
            self._failed(now, at_once=verdict is Verdict.OVERLOADED)
        self._settle()

    def recovered(self) -> None:
        """Note that the host is well, as something other than the end of a request tells."""
        self._failures = 0
        self._backoff_until = -inf
        self._settle()

    def overloaded(self, now: float) -> None:
        """Note that the host asks for less, by the answer to a request that has not ended yet."""
        self._failed(now, at_once=True)
        self._settle()

    def pause_until(self, instant: float) -> None:
        """Start nothing before `instant`; the longest pause asked for counts."""
        if instant > self._paused_until:
            self._paused_until = instant
            self._settle()

    @property
    def in_trouble(self) -> bool:
        """Whether it failed so often, or asked for less, that it is left alone for a while; until its next answer."""
        return self._failures > self._rules.tolerated

    @property
    def crawl_delay(self) -> float:
        """Crawl-delay of robots.txt in seconds, already clamped; 0 without one."""
        return self._crawl_delay

    @crawl_delay.setter
    def crawl_delay(self, seconds: float) -> None:
        assert 0.0 <= seconds < inf
        self._crawl_delay = seconds
        self.delay = max(self._rules.delay, seconds)
        self._settle()

    @property
    def backoff(self) -> float:
        """Seconds of silence the present run of failures calls for; 0 when there is none."""
        grown = self._failures - self._rules.tolerated
        if grown <= 0:
            return 0.0
        return min(self._rules.backoff_max, self._rules.backoff * 2.0 ** min(grown - 1, _MAX_DOUBLINGS))

    def _failed(self, now: float, *, at_once: bool) -> None:
        # What ends during the back-off was under way when it began: the same trouble, not more of it.
        if now >= self._backoff_until:
            self._failures += 1
        if at_once:
            self._failures = max(self._failures, self._rules.tolerated + 1)
        backoff = self.backoff
        if backoff:
            self._backoff_until = now + backoff

    def _settle(self) -> None:
        if self.active >= self._rules.per_host:
            self.ready_at = inf
            return
        ready = self._last_start + self.delay
        if self._paused_until > ready:
            ready = self._paused_until
        if self._backoff_until > ready:
            ready = self._backoff_until
        self.ready_at = ready


_MAX_DOUBLINGS: Final = 60  # 2.0 ** 1024 would overflow
