"""Whether a failed URL is tried again, and when: a table of causes, exponential back-off, a budget for the crawl.

Three limits stand above each other. The table says which causes can heal at all and how often each deserves another
try; `fetch.retries` caps that per URL; the budget caps all retries of the crawl, so that a site which fails every
second request cannot double the crawl's load on it (https://sre.google/sre-book/handling-overload/ "per-client retry
budget", 10 %).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, NamedTuple

from crawler.frontier.reasons import Reason


class Cause(NamedTuple):
    """How a cause of failure is treated."""

    retries: int
    """At most so many further tries, however many `fetch.retries` permits; 0 = it will not heal while we wait."""
    base: float = 1.0
    """Factor on the first delay."""
    growth: float = 2.0
    """Factor from one delay to the next."""


class Retry(NamedTuple):
    """Try again after this many seconds."""

    delay_seconds: float


class GiveUp(NamedTuple):
    """Do not try again; `exhausted` when the cause could have healed but the tries are used up."""

    exhausted: bool


_NEVER: Final = Cause(0)
_OFTEN: Final = Cause(10)

CAUSES: Final = MappingProxyType({
    Reason.DNS: Cause(3, base=4.0),  # resolvers cache failures for seconds to minutes (RFC 2308)
    Reason.CONNECT: _OFTEN,
    Reason.CONNECT_TIMEOUT: Cause(3, base=2.0),
    Reason.READ_TIMEOUT: Cause(2, base=2.0),
    Reason.TOTAL_TIMEOUT: Cause(1, base=4.0),  # each try may cost the whole `fetch.total_timeout`
    Reason.TOO_SLOW: Cause(1, base=4.0),
    Reason.DISCONNECTED: _OFTEN,
    Reason.HTTP_5XX: _OFTEN,
    Reason.RATE_LIMITED: Cause(10, base=4.0),
} | dict.fromkeys((
    Reason.SCHEME, Reason.INVALID_URL, Reason.URL_TOO_LONG, Reason.QUERY_TOO_LONG, Reason.HOST, Reason.DENIED,
    Reason.NOT_ALLOWED, Reason.PATTERN_TIMEOUT, Reason.TRAP, Reason.DEPTH, Reason.HOST_BUDGET, Reason.ROBOTS,
    Reason.ROBOTS_UNAVAILABLE, Reason.ADDRESS_BLOCKED, Reason.PORT_BLOCKED,
    Reason.TLS,  # a bad certificate stays bad; a handshake cut short is `disconnected` or `connect_timeout`
    Reason.PROTOCOL, Reason.HEADERS_TOO_LARGE, Reason.TOO_LARGE, Reason.REDIRECT_INVALID, Reason.REDIRECT_LIMIT,
    Reason.HTTP_4XX, Reason.AUTH, Reason.HTTP_OTHER, Reason.CODING,
    # It was fetched; the pool has its own second try.
    Reason.PARSE_TIMEOUT, Reason.PARSE_CRASH, Reason.PARSE_MEMORY, Reason.PARSE_ERROR,
    Reason.INTERNAL,
), _NEVER))  # fmt: skip
"""Every reason is here, the hopeless ones too: a new one has to be thought about."""

HEALING_4XX: Final = frozenset(
    {408, 425}
)  # RFC 9110 15.5.9 Request Timeout, RFC 8470 Too Early: both ask to be repeated
LASTING_5XX: Final = frozenset({501, 505, 506, 508, 510, 511})  # said of the request or the server, not of the moment


def decide(
    reason: Reason,
    attempt: int,
    *,
    retries: int,
    base: float,
    maximum: float,
    retry_after_max: float,
    jitter: float,
    retry_after: float | None = None,
    status: int | None = None,
) -> Retry | GiveUp:
    """Decide what follows the `attempt`-th failure (the first is 1) of one URL.

    `base`, `maximum`, `retry_after` and `retry_after_max` are seconds; `jitter` is a random number in [0, 1).
    The delay has "equal jitter": half fixed, half random, `d/2 + jitter*d/2` with `d = min(maximum, base*growth^n)`
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). Full jitter spreads a little better,
    but may come back at once, and a try spent on a server that had no time to recover is lost. A Retry-After is a lower
    bound on it.
    """
    assert attempt >= 1
    assert 0.0 <= jitter < 1.0
    cause = _cause(reason, status)
    if cause.retries == 0:
        return GiveUp(exhausted=False)
    if attempt > min(retries, cause.retries):
        return GiveUp(exhausted=True)
    full = base * cause.base
    for _ in range(attempt - 1):
        if full >= maximum:
            break
        full *= cause.growth
    full = min(full, maximum)
    delay = full / 2 + jitter * full / 2
    if retry_after is not None:
        delay = max(delay, min(retry_after, retry_after_max))
    return Retry(delay)


def _cause(reason: Reason, status: int | None) -> Cause:
    if status in HEALING_4XX:
        return _OFTEN
    if status in LASTING_5XX:
        return _NEVER
    return CAUSES[reason]


class RetryBudget:
    """Let retries be at most a share of all requests, above a floor that small crawls may use up freely."""

    __slots__ = ("_floor", "_share", "requests", "retries")

    def __init__(self, share: float = 0.1, floor: int = 100) -> None:
        self._share = share
        self._floor = floor
        self.requests = 0
        self.retries = 0

    def requested(self) -> None:
        """Count one request, first tries and retries alike."""
        self.requests += 1

    def take(self) -> bool:
        """Count one retry and return True, or return False when there is none left to spend."""
        if self.retries >= self._floor + self._share * self.requests:
            return False
        self.retries += 1
        return True


def parse_retry_after(value: str, now: float) -> float | None:
    """Return the seconds from `now` (Unix time) that a Retry-After header asks for, None when it is neither form of it.

    Between 0 and ten years. RFC 9110 10.2.3: a number of seconds or an HTTP-date.
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST)
    moment = http_date(value)
    return None if moment is None else min(max(0.0, moment - now), _LONGEST)


_LONGEST: Final = 10 * 365 * 86400.0  # a number of 400 digits is a number of seconds too, and infinite as a float
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIME: Final = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_DATES: Final = (
    rf"[a-z]{{3}}, (?P<day>\d\d) (?P<month>[a-z]{{3}}) (?P<year>\d{{4}}) {_TIME} GMT",  # IMF-fixdate
    rf"[a-z]{{6,9}}, (?P<day>\d\d)-(?P<month>[a-z]{{3}})-(?P<year>\d\d) {_TIME} GMT",  # RFC 850
    rf"[a-z]{{3}} (?P<month>[a-z]{{3}}) (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",  # asctime
)  # RFC 9110 5.6.7. Not strptime, which reads the names in the user's language, nor email.utils, which takes anything.


def http_date(value: str) -> float | None:
    """Return the Unix time of an HTTP-date (RFC 9110 5.6.7) in any of its three forms, None when it is none."""
    for pattern in _DATES:
        match = re.fullmatch(pattern, value, re.ASCII | re.IGNORECASE)
        if match is None or match["month"].lower() not in _MONTHS:
            continue
        year, month = int(match["year"]), _MONTHS.index(match["month"].lower()) + 1
        if len(match["year"]) == 2:
            year += 1900 if year >= 70 else 2000
        second = int(match["second"])
        second -= second == 60  # a leap second, which datetime does not know
        try:
            moment = datetime(
                year, month, int(match["day"]), int(match["hour"]), int(match["minute"]), second, tzinfo=UTC
            )
        except ValueError:
            return None
        return moment.timestamp()
    return None
