"""What the frontier hands out: one URL to fetch now, and everything the fetch needs to know about it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from pipelines.url import CanonicalUrl

MAX_REDIRECTS = 10  # Fetch standard: a browser stops at 20; RFC 1945 asked for 5; Scrapy and curl users expect about 10
MAX_ROBOTS_REDIRECTS = 5  # RFC 9309 2.3.1.2


class Kind(Enum):
    """What a request is for."""

    PAGE = "page"
    ROBOTS = "robots"


class Request(NamedTuple):
    """One URL to fetch. Immutable; a retry is a new value with a higher `attempt`."""

    id: int
    """Row of the URL in the store; 0 for robots.txt, which is kept by origin."""
    url: CanonicalUrl
    host: str
    """Host name, the unit of politeness."""
    depth: int = 0
    priority: int = 0
    """Lower is sooner."""
    via: str | None = None
    redirects: tuple[str, ...] = ()
    """URLs that redirected here, first one first."""
    attempt: int = 1
    kind: Kind = Kind.PAGE
    origin: str = ""
    """For robots.txt: the origin it speaks for, also after redirects."""
