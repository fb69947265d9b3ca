"""The body of a robots.txt without its content codings. Runs in a worker: a bomb must not reach the event loop."""

from __future__ import annotations

from crawler.frontier.robots import MAX_ROBOTS_BYTES
from pipelines.page import Page
from pipelines.stages.codings import codings_of, remove


def decoded(page: Page) -> bytes:
    """Return what can be decoded, up to the size that is parsed at all; empty when nothing can."""
    fields = ", ".join(value for name, value in page.headers if name == "content-encoding")
    return remove(page.body, codings_of(fields), MAX_ROBOTS_BYTES + 1).body
