"""What a request costs in the fetcher, beside the same request in a bare aiohttp session.

    python benchmarks/fetch.py urls.txt --allow 127.0.0.0/8

`urls.txt` has one URL a line, best of a fast server on the same machine. The two take turns, and CPU time is of
this process, so a busy neighbour changes it little. The bare session is
`async with session.get(url) as response: await response.read()` with decompression off.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import uvloop

from crawler.fetch.fetcher import Fetcher
from crawler.fetch.options import FetchOptions
from crawler.fetch.outcome import Fetched
from crawler.frontier.request import Request
from pipelines.url import CanonicalUrl, canonicalize, host_of

Get = Callable[[CanonicalUrl], Awaitable[bool]]


async def workers(get: Get, urls: list[CanonicalUrl], concurrency: int) -> tuple[float, float]:
    """Fetch all URLs with `concurrency` tasks; return CPU and wall seconds."""
    pending = iter(urls)

    async def work() -> None:
        for url in pending:
            if not await get(url):
                raise SystemExit(f"{url}: not fetched")

    cpu, wall = time.process_time(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())
    return time.process_time() - cpu, time.perf_counter() - wall


async def compare(urls: list[CanonicalUrl], concurrency: int, rounds: int, allow: tuple[str, ...]) -> None:
    """Print what both cost."""
    requests = {url: Request(1, url, host_of(url)) for url in urls}
    figures: dict[str, list[tuple[float, float]]] = {"bare": [], "fetcher": []}
    options = FetchOptions(concurrency=concurrency, allow_addresses=allow)
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with (
        Fetcher(options) as fetcher,
        aiohttp.ClientSession(connector=connector, auto_decompress=False) as session,
    ):

        async def bare(url: CanonicalUrl) -> bool:
            async with session.get(url) as response:
                return bool(await response.read())

        async def ours(url: CanonicalUrl) -> bool:
            return isinstance(await fetcher.fetch(requests[url]), Fetched)

        for turn in range(rounds + 1):
            for name, get in (("bare", bare), ("fetcher", ours)):
                figure = await workers(get, urls, concurrency)
                if turn:  # the first one warms up connections and caches
                    figures[name].append(figure)
    for column, what in enumerate(("CPU", "wall")):
        each = {name: [pair[column] / len(urls) * 1e6 for pair in pairs] for name, pairs in figures.items()}
        ratio = statistics.median(mine / other for mine, other in zip(each["fetcher"], each["bare"], strict=True))
        for name, values in each.items():
            print(f"{what:4} us a request  {name:8} median {statistics.median(values):6.1f}  least {min(values):6.1f}")
        print(f"{what:4} ratio, median of rounds: {ratio:.3f}")


def main() -> None:
    """Run the comparison named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("urls", type=Path)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--allow", action="append", default=[], help="network (CIDR) that may be reached")
    chosen = parser.parse_args()
    urls = [url for line in chosen.urls.read_text().split() if (url := canonicalize(line))][: chosen.limit]
    if not urls:
        sys.exit(f"{chosen.urls}: no http(s) URL in it")
    uvloop.run(compare(urls, chosen.concurrency, chosen.rounds, tuple(chosen.allow)))


if __name__ == "__main__":
    main()
