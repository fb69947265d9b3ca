"""The door through which the parent starts its workers: costs it nothing to import, while they load the HTTP client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from crawler.download.values import DownloadOptions
from crawler.fetch.options import FetchOptions
from pipelines.cpus import available_cpus
from pipelines.pool.pool import WorkerPool

PRELOAD = ("crawler.download.warm", "crawler.download.worker")
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


def new_pool(options: DownloadOptions) -> WorkerPool:
    """Return the pool that a `Downloader` makes for itself, not started: to start it before the rest is loaded."""
    return WorkerPool(
        available_cpus(options.processes).count, preload=PRELOAD, name="download", spare=False, forkserver=True
    )


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop; None for asyncio's own."""
    try:
        import uvloop
    except ImportError:  # not on this platform
        return None
    return uvloop.new_event_loop
