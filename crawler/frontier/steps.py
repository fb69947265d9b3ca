"""What the frontier tells the engine to do next. Closed set: match it and end in `assert_never`."""

from __future__ import annotations

from typing import NamedTuple

from crawler.frontier.reasons import Reason
from crawler.frontier.request import Request


class Wait(NamedTuple):
    """Nothing can start before `until` (None: before something in flight ends)."""

    until: float | None


class Refill(NamedTuple):
    """The store is asked for the next URLs of a host, behind `(priority, after)`."""

    host: int
    priority: int
    after: int
    limit: int


class MoreHosts(NamedTuple):
    """The store is asked for further hosts with pending URLs, ids above `after`."""

    after: int
    limit: int


class NeedRobots(NamedTuple):
    """The robots.txt of an origin must be found out: from the store, or by `want_robots`."""

    origin: str
    host: int


class Denied(NamedTuple):
    """A pending URL that must not be fetched."""

    request: Request
    reason: Reason


class FileFound(NamedTuple):
    """A pending URL that is a file. It has no place at its host yet: a download asks for one with each request."""

    request: Request


class Slot(NamedTuple):
    """A download may send its next request; `left` gives the place back."""

    ticket: int


class Done(NamedTuple):
    """No URL is pending."""


Step = Request | Wait | Refill | MoreHosts | NeedRobots | Denied | FileFound | Slot | Done
