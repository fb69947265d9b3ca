"""Two connections on the same bytes: what both brought is compared, and one of them wins, whole."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from crawler.download.downloader import Downloader
from crawler.download.plan.rescue import HEDGE
from crawler.download.plan.seams import OVERLAP
from crawler.download.values import Wanted
from crawler.testing import FaultServer, Reply, Request, serve, version
from crawler.testing.oracle import judge
from pipelines.pool.pool import WorkerPool
from tests.support.downloading import LIMIT_SECONDS, options

KIB = 1024
SIZE = 1100 * KIB
RATES = {1: 80.0 * KIB, 3: 20.0 * KIB}
"""Of the crawling ones: what is left of the third is cut once more, and then too little for another cut."""


class Racing:
    """A server some of whose connections crawl, so that the rest of a part is fetched twice.

    Who fetches bytes that are on their way already gets those of another version, under the same name, the first time.
    """

    def __init__(self) -> None:
        self.file, self.other = version("A", SIZE), version("B", SIZE)
        self.asked: list[int] = []
        """First bytes, without the overlap."""
        self.races = 0

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        reply = serve(request, self.file)
        is_race = reply.end in self.asked and reply.length < HEDGE
        self.asked.append(request.first + OVERLAP)
        if request.number in RATES:
            return replace(reply, rate=RATES[request.number])
        if not is_race:
            return reply
        self.races += 1
        body = self.other.body if self.races == 1 else self.file.body
        return replace(reply, source=body, delay=0.2)  # its rival writes more meanwhile


async def test_d75_a_hedge_with_other_bytes_is_not_joined_to_what_its_rival_wrote(
    tmp_path: Path, pool: WorkerPool
) -> None:
    """No digest would notice: it is their disagreement about the same bytes that shows it."""
    racing = Racing()
    with FaultServer() as server:
        server.mount("/f", racing)
        async with Downloader(tmp_path, options(2), pool=pool) as downloader:
            result = await asyncio.wait_for(downloader.fetch(Wanted(server.url("/f"), "f")), LIMIT_SECONDS)
        twice = sum(exchange.sent for exchange in server.exchanges) - SIZE
    assert racing.races >= 1, "nothing was fetched twice"
    assert twice > OVERLAP
    assert result.fault is None, result
    assert result.retries >= 1, "nobody noticed"
    assert judge(tmp_path / "f", [racing.file.body], says_success=True) == "right"
