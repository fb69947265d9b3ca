"""One host in memory: the head of its queue, its clock, and what is known of its origins' robots.txt.

The window holds the first pending URLs of the host in the order of crawling. All of them are on disk too, so a window
can be cut at any time without loss: what lies behind `tail` is read again when it is needed.

Invariants: every URL of the window has a key up to `tail`, unless nothing of the host is on disk only; a pending URL is
in the window, in `out`, or behind the tail, and in one of them only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heapify, heappop, heappush, nsmallest
from typing import Any, Final

import orjson

from crawler.frontier.politeness import HostClock
from crawler.frontier.request import Request
from crawler.frontier.robots import RobotsRules
from pipelines.url import CanonicalUrl

Row = list[Any]
"""A pending URL as the store tells it: [host, priority, id, url, depth, via, attempts, redirects (JSON), host name].

Compares by (host, priority, id), which within one host is the order of crawling. It stays the list that JSON made:
there is one for every URL of a crawl.
"""

HOST, PRIORITY, ID, URL, DEPTH, VIA, ATTEMPTS, REDIRECTS, NAME = range(9)

MOST_FILES: Final = 1000
"""Files of one host that wait or are under way. With these it stands still, and leaves the crawl's room to others."""

START = (-(2**62), 0)
"""Before every key."""


def request_of(row: Row) -> Request:
    """Return the request for a pending URL."""
    redirects = row[REDIRECTS]
    return Request(
        id=row[ID],
        url=CanonicalUrl(row[URL]),
        host=row[NAME],
        depth=row[DEPTH],
        priority=row[PRIORITY],
        via=row[VIA],
        redirects=tuple(orjson.loads(redirects)) if redirects else (),
        attempt=row[ATTEMPTS] + 1,
    )


def row_of(request: Request, host_id: int) -> Row:
    """Return the pending URL that a request was made of, for its next attempt."""
    redirects = orjson.dumps(request.redirects).decode() if request.redirects else None
    row = [host_id, request.priority, request.id, request.url, request.depth, request.via]
    return [*row, request.attempt, redirects, request.host]


def busiest(hosts: Iterable[Host], count: int) -> list[tuple[str, int, int]]:
    """Return `(host, in flight, in memory)` of the busiest hosts, for a person to look at."""
    keys = ((-host.clock.active, -len(host.window), host.name) for host in hosts)
    return [(name, -active, -waiting) for active, waiting, name in nsmallest(count, keys)]


class Host:
    """A host that is in memory. Plain state; the frontier decides."""

    __slots__ = (
        "clock",
        "delayed",
        "fetching",
        "files",
        "id",
        "missed",
        "name",
        "on_disk",
        "origins",
        "out",
        "parked",
        "queued",
        "refilling",
        "slot_last",
        "tail",
        "unanswered",
        "urgent",
        "window",
        "wishes",
    )

    def __init__(self, host_id: int, name: str, clock: HostClock) -> None:
        self.id = host_id
        self.name = name
        self.clock = clock
        self.window: list[Row] = []
        self.urgent: deque[Request] = deque()  # robots.txt: goes before pages, needs no permission
        self.wishes: deque[int] = deque()  # tickets of downloads that want to send a request, first come first
        self.slot_last = False  # the last one served was a download: a page, if there is one, comes next
        self.on_disk = False  # more URLs behind `tail`
        self.tail: tuple[int, int] = START
        self.refilling = False
        self.missed = False  # a URL behind `tail` arrived while a refill was under way
        self.queued = False  # stands in the frontier's queue of ready hosts
        self.parked = 0  # URLs that wait for robots.txt
        self.out: set[int] = set()  # URLs in flight, parked or delayed: pending in the store, but not to be read again
        self.delayed = 0  # URLs that wait for their next attempt
        self.origins: list[str] = []  # a set of one is four times as large, and there are thousands of hosts
        self.files: set[int] | None = None  # of `out`: those that turned out to be files; few hosts have any
        self.fetching = 0  # slots of the crawl that it has: pages and robots.txt, not downloads
        self.unanswered = 0  # of these, sent since its last answer

    def has_work(self) -> bool:
        """Something could be started now, if the clock agrees."""
        return bool(self.urgent or (self.window and not self.is_full))

    @property
    def is_full(self) -> bool:
        """It has all the files that it may have, so nothing of its window is looked at until one has ended."""
        return self.files is not None and len(self.files) >= MOST_FILES

    def is_idle(self) -> bool:
        """Nothing in memory, on disk or in flight would be lost by forgetting this host."""
        return not (
            self.window
            or self.urgent
            or self.wishes
            or self.on_disk
            or self.refilling
            or self.parked
            or self.delayed
            or self.out
            or self.clock.active
        )

    def offer(self, row: Row) -> bool:
        """Take a URL into the window, unless it belongs behind the tail, where it is read again in its turn."""
        self.out.discard(row[ID])
        if self.on_disk and (row[PRIORITY], row[ID]) > self.tail:
            self.missed = True
            return False
        heappush(self.window, row)
        return True

    def take(self) -> Row:
        """Remove and return the first URL of the window; it is out until it is settled or offered again."""
        row = heappop(self.window)
        self.out.add(row[ID])
        return row

    def met(self, origin: str) -> None:
        """Note an origin of this host, once."""
        if origin not in self.origins:
            self.origins.append(origin)

    def began_file(self, url_id: int) -> bool:
        """Note that a URL is a file; return whether there may be no more of them for now."""
        if self.files is None:
            self.files = set()
        self.files.add(url_id)
        return self.is_full

    def settled(self, url_id: int) -> bool:
        """Forget a URL that came to an end; return whether this may let the window go on."""
        was_full = self.is_full
        self.out.discard(url_id)
        if self.files is not None:
            self.files.discard(url_id)
        return was_full

    def trim(self, size: int) -> None:
        """Forget all but the first `size` URLs; they are still on disk."""
        if self.refilling or len(self.window) <= size:
            return
        self.window.sort()
        del self.window[size:]
        last = self.window[-1]
        self.tail = (last[PRIORITY], last[ID])
        self.on_disk = True

    def refilled(self, rows: list[Row], *, more: bool) -> None:
        """Take what the store returned behind the tail; `more` when it may hold further URLs behind these."""
        self.refilling = False
        if rows:
            self.name = self.name or rows[0][NAME]
            last = rows[-1]
            self.tail = (last[PRIORITY], last[ID])
            self.window += [row for row in rows if row[ID] not in self.out]
            heapify(self.window)
        self.on_disk = more or self.missed
        self.missed = False


class Origin:
    """What is known of one origin's robots.txt. `rules` is None while it is being fetched."""

    __slots__ = ("expires_at", "parked", "rules")

    def __init__(self) -> None:
        self.rules: RobotsRules | None = None
        self.expires_at = 0.0
        self.parked: list[Row] = []

    def park(self, host: Host, row: Row) -> None:
        """Let a URL of `host` wait for the rules."""
        self.parked.append(row)
        host.parked += 1
