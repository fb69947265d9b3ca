"""What one exchange came to. Closed set: match it and end in `assert_never`."""

from __future__ import annotations

from typing import NamedTuple

from crawler.frontier.reasons import Reason
from pipelines.page import Page
from pipelines.url import CanonicalUrl


class Fetched(NamedTuple):
    """A response with status 2xx, body as it came off the wire."""

    page: Page


class FileHead(NamedTuple):
    """A response with status 2xx whose head says that it is a file. Its body was not read."""

    content_type: str


class Redirected(NamedTuple):
    """A redirect (301, 302, 303, 307, 308) to a valid http(s) URL; not followed here."""

    status: int
    target: CanonicalUrl
    headers: tuple[tuple[str, str], ...]
    fetched_at: str


class Failed(NamedTuple):
    """No page: a named reason, with what a retry decision needs."""

    reason: Reason
    detail: str = ""
    """For a person; never a secret, never a resolved private address. At most 300 characters."""
    status: int | None = None
    retry_after: float | None = None
    """Seconds the server asked for, from now; not yet clamped."""
    body: bytes = b""
    """Only for robots.txt requests."""


class Refused(NamedTuple):
    """Not sent: the address or port is outside what the crawl may reach."""

    reason: Reason
    detail: str = ""


Outcome = Fetched | FileHead | Redirected | Failed | Refused
