"""The lag meter says how long the loop was kept: the promise that it stays free rests on its word."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from pathlib import Path

from crawler import Crawl
from crawler.engine.lag import INTERVAL, LagMeter
from crawler.engine.limits import STARTS_A_TURN
from crawler.errors import ExitCode
from tests.support.crash_jobs import Site
from tests.support.engine_runs import Tables, config_for


async def test_it_tells_how_long_the_loop_was_kept() -> None:
    meter = LagMeter(asyncio.get_running_loop())
    meter.start()
    await asyncio.sleep(10 * INTERVAL)
    time.sleep(0.06 + INTERVAL)  # noqa: ASYNC251  # this is the offence
    await asyncio.sleep(2 * INTERVAL)
    meter.stop()
    assert meter.samples >= 3
    assert 0.06 <= meter.max_seconds < 5
    assert meter.quantile(1.0) == meter.max_seconds
    assert meter.quantile(0.0) <= meter.quantile(0.5) <= meter.quantile(1.0)


async def test_a_loop_that_is_free_lags_little() -> None:
    meter = LagMeter(asyncio.get_running_loop())
    meter.start()
    await asyncio.sleep(20 * INTERVAL)
    meter.stop()
    assert meter.quantile(0.5) < 3 * INTERVAL, "being called in time is no lag"
    seen = meter.samples
    await asyncio.sleep(3 * INTERVAL)
    assert meter.samples == seen > 0, "it ends when it is told to"


async def test_a_crawl_opens_few_requests_in_one_turn_of_the_loop(plain_site: Site, tmp_path: Path) -> None:
    """With hundreds of URLs to begin with and slots for all of them: answers are read in between."""
    seeds = [page.url for page in plain_site.demo.expected().pages()]
    tables: Tables = {"job": {"seeds": seeds}, "politeness": {"per_host": 64}, "fetch": {"concurrency": 256}}
    loop = asyncio.get_running_loop()
    started = [0]

    async with Crawl(config_for(plain_site, tmp_path / "out", tables)) as crawl:

        def look() -> None:
            if crawl._engine is not None:
                started.append(crawl._engine.live.requests)
            turn[0] = loop.call_soon(look)

        turn = [loop.call_soon(look)]
        try:
            summary = await crawl.run()
        finally:
            turn[0].cancel()
    assert summary.exit_code == ExitCode.COMPLETE
    assert len(seeds) > 100
    assert max(after - before for before, after in pairwise(started)) <= STARTS_A_TURN
