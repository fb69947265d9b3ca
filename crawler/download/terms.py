"""The door through which the parent starts its workers: costs it nothing to import, while they load the HTTP client."""

from __future__ import annotations

from dataclasses import dataclass

from crawler.fetch.options import FetchOptions

PRELOAD = ("crawler.download.worker",)
"""What a worker imports before its first task."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a worker is started with."""

    address: str
    """Path of the parent's socket."""
    token: str
    fetch: FetchOptions


async def work(terms: Terms) -> None:
    """Run a worker until the parent hangs up."""
    from crawler.download.worker import serve

    await serve(terms)
