"""Records as they become durable, in your own program, with a slow consumer and an end when you have enough.

    python examples/embed.py site.toml [HOW_MANY]

What was recorded stays in the output directory; run it again and it goes on.
"""

from __future__ import annotations

import asyncio
import sys

import crawler


async def first_titles(path: str, wanted: int) -> list[str]:
    """Return the titles of the first pages, and stop the crawl there."""
    titles: list[str] = []
    async with crawler.Crawl(crawler.load(path)) as crawl:
        async for record in crawl:
            title = record.get("title")  # a redirect has none
            if title is None:
                continue
            await store(record["url"], title)
            titles.append(title)
            if len(titles) == wanted:
                break  # the end of the block ends the crawl: no process, thread or connection is left
    return titles


async def store(url: str, title: str) -> None:
    """Stand in for your database. While this waits the crawl fetches ahead, as far as `cpu.queue_bytes` reaches."""
    await asyncio.sleep(0.001)
    print(f"{url}  {title}")


if __name__ == "__main__":
    asyncio.run(first_titles(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10))
