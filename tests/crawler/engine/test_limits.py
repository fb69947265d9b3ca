"""Where a crawl stops, what it says then, and how much it holds when nobody takes its records."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from crawler import Crawl, Summary
from crawler.errors import ExitCode
from tests.support.crash_jobs import Site
from tests.support.engine_runs import Inline, Tables, config_for, identity, lines


async def crawl(site: Site, out: Path, tables: Tables | None = None, **options: Any) -> Summary:
    async with Crawl(config_for(site, out, tables), executor=Inline(), **options) as crawling:
        return await crawling.run()


@pytest.mark.parametrize(("left", "code"), [(100, ExitCode.LIMIT), (1, ExitCode.LIMIT), (0, ExitCode.COMPLETE)])
async def test_a_page_limit_is_exact_and_no_limit_when_nothing_is_left(
    left: int, code: ExitCode, plain_site: Site, tmp_path: Path
) -> None:
    limit = len(list(plain_site.demo.expected())) - left
    tables: Tables = {"job": {"max_pages": limit}, "politeness": {"robots": False}}
    summary = await crawl(plain_site, tmp_path / "out", tables)
    assert (summary.done, summary.exit_code) == (limit, code)
    assert len(lines(tmp_path / "out")) == limit
    assert summary.adds_up()


async def test_a_limit_that_was_raised_lets_the_same_job_go_on(plain_site: Site, tmp_path: Path) -> None:
    await crawl(plain_site, tmp_path / "whole")
    for limit in (10, 50, 500):
        summary = await crawl(plain_site, tmp_path / "out", {"job": {"max_pages": limit}})
        assert summary.done == min(limit, 120)
    assert identity(tmp_path / "out") == identity(tmp_path / "whole")


async def test_a_time_limit_ends_the_run_in_time(slow_site: Site, tmp_path: Path) -> None:
    tables: Tables = {"job": {"max_time": 0.3}, "fetch": {"concurrency": 2}}
    loop = asyncio.get_running_loop()
    began = loop.time()
    summary = await crawl(slow_site, tmp_path / "out", tables)
    assert loop.time() - began < 5.0
    assert summary.exit_code == ExitCode.LIMIT
    assert 0 < summary.done < 120
    assert summary.adds_up()


async def test_a_byte_limit_ends_the_run(plain_site: Site, tmp_path: Path) -> None:
    summary = await crawl(plain_site, tmp_path / "out", {"job": {"max_bytes": 20_000}, "fetch": {"concurrency": 1}})
    assert summary.exit_code == ExitCode.LIMIT
    assert 20_000 <= summary.wire_bytes < 120_000


@pytest.mark.parametrize("depth", [0, 1, 2])
async def test_a_depth_limit_leaves_the_rest_as_skipped(depth: int, plain_site: Site, tmp_path: Path) -> None:
    summary = await crawl(plain_site, tmp_path / "out", {"scope": {"max_depth": depth}})
    assert summary.exit_code == ExitCode.COMPLETE
    assert summary.pending == 0
    assert max(line["depth"] for line in lines(tmp_path / "out")) == depth
    skipped = [line for line in lines(tmp_path / "out", "skipped") if line["reason"] == "depth"]
    assert {line["depth"] for line in skipped} == {depth + 1}
    assert summary.adds_up()


async def test_a_host_budget_is_kept_on_each_host(plain_site: Site, tmp_path: Path) -> None:
    summary = await crawl(plain_site, tmp_path / "out", {"scope": {"max_pages_per_host": 7}})
    hosts = Counter(line["url"].split("/")[2] for line in lines(tmp_path / "out"))
    assert set(hosts.values()) == {7}
    assert summary.skipped_by_reason["host_budget"] > 0
    assert summary.adds_up()


async def test_a_reader_who_takes_nothing_stops_the_fetching(plain_site: Site, tmp_path: Path) -> None:
    """What is fetched and not read is bounded by `cpu.queue_bytes`, whatever the records of the pages weigh."""
    queue = 64 * 1024
    tables = {"cpu": {"queue_bytes": queue, "batch_bytes": queue}, "fetch": {"max_wire_bytes": queue, "concurrency": 4}}
    known = len(plain_site.requests())
    async with Crawl(config_for(plain_site, tmp_path / "out", tables), executor=Inline()) as crawling:
        first = await anext(crawling)
        asked = -1
        while asked != (asked := len(plain_site.requests(known))):  # noqa: ASYNC110 - only time can tell
            await asyncio.sleep(0.3)
        unread = (tmp_path / "out" / "pages.jsonl").read_bytes().splitlines()
        assert sum(map(len, unread)) < queue + 4 * max(map(len, unread)), "the four in flight were admitted before"
        assert asked <= len(unread) + 4 + 4 + 4, "four in flight, four more, four robots.txt"
        rest = [record async for record in crawling]
    assert len({first["url"], *(record["url"] for record in rest)}) == 120
