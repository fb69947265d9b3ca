"""Shows a running crawl."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from crawler.engine.crawl import Crawl


@asynccontextmanager
async def show(crawl: Crawl, *, quiet: bool, plain: bool, write: Callable[[str], None]) -> AsyncIterator[None]:
    """Show the crawl while the block runs, and its result at the end."""
    yield
    if crawl.summary is not None and not quiet:
        write(str(crawl.summary))
