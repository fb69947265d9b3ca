"""The one-line, blocking way to crawl."""

from __future__ import annotations

import asyncio

from crawler.config import Config
from crawler.engine.crawl import Crawl
from crawler.engine.summary import Summary


def run(config: Config, *, accept_changes: bool = False) -> Summary:
    """Crawl and return how it ended. Blocks; for use where no event loop runs.

    Raises ConfigError, LockedError and StateError. KeyboardInterrupt passes after everything was closed; the same call
    resumes.
    """

    async def crawl() -> Summary:
        async with Crawl(config, accept_changes=accept_changes) as crawling:
            return await crawling.run()

    return asyncio.run(crawl())
