"""The ground truth of a demo site: every URL that is linked anywhere, and what a crawl should make of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from crawler.demo.answer import Kind

if TYPE_CHECKING:
    from crawler.demo.site import Demo


class ExpectedUrl(NamedTuple):
    """One URL and what comes of it."""

    url: str
    """Canonical (WHATWG), without fragment."""
    kind: Kind
    status: int | None = None
    """None when it is not requested, or the answer is no HTTP."""
    sha256: str | None = None
    """Hex digest of the body with its content codings removed; None where no whole body is to be had."""
    title: str | None = None
    """Text of the title element, character references resolved; None for what is no HTML."""
    target: str | None = None
    """Canonical URL a redirect leads to."""


class Expected:
    """All that is to be found on a site, made up again on each call: nothing is stored, so any size is fine."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo

    def __iter__(self) -> Iterator[ExpectedUrl]:
        """Yield every URL once."""
        yield from self.pages()
        yield from self.disallowed()

    def pages(self) -> Iterator[ExpectedUrl]:
        """Yield the URLs that must each have exactly one record."""
        graph = self._demo.graph
        for number in range(graph.pages):
            digest = hashlib.sha256(self._demo.page_body(number)).hexdigest()
            yield ExpectedUrl(graph.url(number), Kind.PAGE, 200, digest, graph.title(number))

    def disallowed(self) -> Iterator[ExpectedUrl]:
        """Yield the URLs that are linked but must never be requested."""
        graph = self._demo.graph
        for number in range(graph.pages):
            target = self._demo.private_target(number)
            if target:
                yield ExpectedUrl(graph.origins[number % len(graph.hosts)] + target, Kind.DISALLOWED)
