"""The ground truth of a demo site: every URL that is linked anywhere, and what a crawl should make of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from crawler.demo.answer import Kind
from crawler.demo.cases.case import Case
from crawler.demo.cases.traps import Limits

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
    """All that is linked on a site, made up again on each call: nothing is stored, so any size is fine."""

    def __init__(self, demo: Demo, limits: Limits) -> None:
        self._demo = demo
        self._limits = limits

    def __iter__(self) -> Iterator[ExpectedUrl]:
        """Yield every URL once."""
        yield from self._numbered()
        yield from self._private()
        if self._demo.catalogue is not None:
            yield from map(_of_case, self._demo.catalogue.cases(self._limits))
        if self._demo.closed_url is not None:
            yield ExpectedUrl(self._demo.closed_url, Kind.DISALLOWED)

    def of(self, *kinds: Kind) -> Iterator[ExpectedUrl]:
        """Yield the URLs of these kinds."""
        return (found for found in self if found.kind in kinds)

    def pages(self) -> Iterator[ExpectedUrl]:
        """Yield the URLs that must each have exactly one complete record."""
        return self.of(Kind.PAGE)

    def disallowed(self) -> Iterator[ExpectedUrl]:
        """Yield the URLs that are linked but must never be requested, because robots.txt says so."""
        return self.of(Kind.DISALLOWED)

    def redirects(self) -> Iterator[ExpectedUrl]:
        """Yield the URLs that lead to `target`."""
        return self.of(Kind.REDIRECT)

    def errors(self) -> Iterator[ExpectedUrl]:
        """Yield the URLs that answer 4xx or 5xx for good."""
        return self.of(Kind.ERROR)

    def _numbered(self) -> Iterator[ExpectedUrl]:
        graph = self._demo.graph
        for number in range(graph.pages):
            digest = hashlib.sha256(self._demo.page_body(number)).hexdigest()
            yield ExpectedUrl(graph.url(number), Kind.PAGE, 200, digest, graph.title(number))

    def _private(self) -> Iterator[ExpectedUrl]:
        graph = self._demo.graph
        for number in range(graph.pages):
            target = self._demo.private_target(number)
            if target:
                yield ExpectedUrl(graph.origins[number % len(graph.hosts)] + target, Kind.DISALLOWED)


def _of_case(case: Case) -> ExpectedUrl:
    status = case.answer.status if case.answer else 200 if case.kind is Kind.PAGE else None
    digest = None if case.body is None else hashlib.sha256(case.body).hexdigest()
    return ExpectedUrl(case.url, case.kind, status, digest, case.title, case.target)
