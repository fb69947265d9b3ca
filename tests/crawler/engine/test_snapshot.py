"""The figures of a moment are those of the moment, and the workers they count are as the configuration wants them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from crawler import Crawl
from crawler.engine.snapshot import Snapshot
from tests.support.crash_jobs import Site
from tests.support.engine_runs import Inline, Tables, config_for


async def next_snapshot(crawl: Crawl, is_it: str) -> Snapshot:
    """Wait until a figure of the crawl is above zero, and return the figures of that moment."""
    async with asyncio.timeout(10):
        while True:
            snapshot = crawl.snapshot()
            if snapshot is not None and getattr(snapshot, is_it):
                return snapshot
            await asyncio.sleep(0.005)


async def test_a_worker_at_work_is_busy_and_as_nice_as_configured(
    plain_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only page hangs in one of two workers until its deadline."""
    monkeypatch.setenv("HOSTILE_PAGE", plain_site.url)
    tables: Tables = {
        "parse": {"stages": ["tests.support.hostile_stages:hang"]},
        "cpu": {"workers": 2, "nice": 7, "page_timeout": 0.6},
    }
    async with Crawl(config_for(plain_site, tmp_path / "out", tables)) as crawl:
        run = asyncio.create_task(crawl.run())
        busy = await next_snapshot(crawl, "workers_busy")
        assert (busy.workers, busy.workers_busy, busy.processing) == (2, 1, 1)
        nice = [os.getpriority(os.PRIO_PROCESS, pid) for pid in busy.worker_pids]
        assert os.getpriority(os.PRIO_PROCESS, 0) + 7 in nice, "the other one may still be starting"
        await run
        after = crawl.snapshot()
    assert after is not None
    assert (after.workers_busy, after.processing, after.failed_by_reason) == (0, 0, {"parse_timeout": 1})


async def test_an_executor_that_was_given_has_no_workers_to_count(plain_site: Site, tmp_path: Path) -> None:
    async with Crawl(config_for(plain_site, tmp_path / "out"), executor=Inline()) as crawl:
        await crawl.run()
        snapshot = crawl.snapshot()
    assert snapshot is not None
    assert (snapshot.workers_busy, snapshot.worker_pids) == (0, ())
