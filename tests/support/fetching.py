"""Fetching in tests: a request for a URL, options that reach loopback, one exchange."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from crawler.fetch.fetcher import Fetcher
from crawler.fetch.options import FetchOptions
from crawler.fetch.outcome import Failed, Fetched, Outcome
from crawler.frontier.request import Kind, Request
from pipelines.page import Page
from pipelines.url import canonicalize, host_of

LOOPBACK = ("127.0.0.0/8", "::1/128")


def a_request(url: str, kind: Kind = Kind.PAGE, row: int = 7) -> Request:
    """Return a request for `url`, which must be a valid one."""
    canonical = canonicalize(url)
    assert canonical is not None
    return Request(row, canonical, host_of(canonical), kind=kind)


def options(**changes: Any) -> FetchOptions:
    """Return options that may reach loopback, with `changes`."""
    return replace(FetchOptions(allow_addresses=LOOPBACK), **changes)


async def fetch_once(url: str, kind: Kind = Kind.PAGE, **changes: Any) -> Outcome:
    """Fetch one URL with a fetcher of its own."""
    async with Fetcher(options(**changes)) as fetcher:
        return await fetcher.fetch(a_request(url, kind))


def fetched(outcome: Outcome) -> Page:
    """Return the page of an outcome that has one."""
    assert isinstance(outcome, Fetched), outcome
    return outcome.page


def failed(outcome: Outcome) -> Failed:
    """Return the outcome as the failure it must be."""
    assert isinstance(outcome, Failed), outcome
    return outcome
