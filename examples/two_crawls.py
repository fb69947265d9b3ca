"""Several crawls at once in one event loop, with one set of worker processes between them.

    python examples/two_crawls.py one.toml two.toml ...

Each has its own output directory, limits and manners. If one cannot go on, the others end too, resumable.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import Executor

import crawler
from pipelines.pool.pool import WorkerPool

PAGE_SECONDS = 10.0


async def crawl_all(paths: list[str]) -> list[crawler.Summary]:
    """Crawl them all and return their summaries, in order."""
    async with WorkerPool() as pool:
        cpu = pool.executor(deadline=PAGE_SECONDS)
        async with asyncio.TaskGroup() as group:
            crawls = [group.create_task(crawl_one(path, cpu)) for path in paths]
    return [crawl.result() for crawl in crawls]


async def crawl_one(path: str, cpu: Executor) -> crawler.Summary:
    """Crawl one; the executor stays open."""
    async with crawler.Crawl(crawler.load(path), executor=cpu) as crawl:
        return await crawl.run()


def main(paths: list[str]) -> int:
    """Print a line for each, and return the worst exit code."""
    summaries = asyncio.run(crawl_all(paths))
    for path, summary in zip(paths, summaries, strict=True):
        print(f"{path}: {summary.ended}, {summary.done} pages")
    return max(summary.exit_code for summary in summaries)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
