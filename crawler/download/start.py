"""The door through which the parent starts its workers, without the HTTP client that they load."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from crawler.download.values import DownloadOptions
from crawler.download.worker.terms import PRELOAD, Terms
from pipelines.cpus import available_cpus
from pipelines.pool.pool import WorkerPool


def new_pool(options: DownloadOptions) -> WorkerPool:
    """Return the pool that a `Downloader` makes for itself, not started: to start it before the rest is loaded."""
    count = available_cpus(options.processes).count
    return WorkerPool(count, preload=PRELOAD, name="download", spare=False, forkserver=True)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop; None for asyncio's own."""
    try:
        import uvloop
    except ImportError:  # not on this platform
        return None
    return uvloop.new_event_loop


async def work(terms: Terms) -> None:
    """Run a worker until the parent hangs up."""
    from crawler.download.worker.worker import serve

    await serve(terms)
