"""What the engine tells the store about one URL that reached an end, and what the store tells back of a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct, field

from crawler.frontier.host import Row
from crawler.frontier.reasons import Reason
from crawler.frontier.request import Request
from pipelines.page import Processed

Links = Sequence[tuple[int, str, str, int]]
"""Admitted links that did not come from a worker: (fingerprint, url, host, priority adjustment)."""


class Recorded(NamedTuple):
    """A page with its record and its outlinks."""

    request: Request
    processed: Processed
    wire_bytes: int = 0
    """Length of the body as it came off the wire."""


class Redirect(NamedTuple):
    """A redirect: its own short record, and its target for the frontier (`links`) or the reason why not (`refused`)."""

    request: Request
    line: bytes
    links: Links = ()
    refused: Sequence[tuple[int, str, str]] = ()


class Failure(NamedTuple):
    """A URL given up: one line in errors.jsonl."""

    request: Request
    reason: Reason
    detail: str = ""
    status: int | None = None


class Skip(NamedTuple):
    """A URL of the queue that must not be fetched: one line in skipped.jsonl."""

    request: Request
    reason: Reason


class Retried(NamedTuple):
    """A failed attempt that will be repeated; the URL stays pending."""

    request: Request


class Seeds(NamedTuple):
    """Links from outside: seeds, sitemap entries."""

    links: Links
    refused: Sequence[tuple[int, str, str]]


class Robots(NamedTuple):
    """A robots.txt to remember for an origin."""

    origin: str
    status: str
    body: bytes
    fetched_at: float


Item = Recorded | Redirect | Failure | Skip | Retried | Seeds | Robots


class Applied(Struct):
    """What a group changed: told to the event loop before the commit."""

    items: list[Item]
    new: list[Row] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    """Links refused by scope and seen for the first time, by reason."""
    deferred: int = 0
    """How many more URLs (or fewer) wait beyond the depth limit."""
    lines: list[bytes] = field(default_factory=list)
    """The finished lines of pages, each without its newline: only kept when somebody reads them."""

    def waiting(self) -> Committed:
        """Return what has to be remembered of the group until its commit."""
        return Committed([item.request.id for item in self.items if isinstance(item, Recorded)], self.lines)


class Committed(NamedTuple):
    """A group that is durable. It holds no more than this: a commit may take seconds, and thousands of pages wait."""

    pages: list[int]
    """Ids of the URLs that have their record now."""
    lines: list[bytes]
    """As in `Applied`."""
