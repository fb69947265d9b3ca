"""What docs/embedding.md says of crawls in another program: nothing is left behind, a slow reader slows the crawl."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import crawler
from crawler.demo.server import DemoServer
from crawler.demo.site import Demo
from tests.support.served import served, write_config

PAGES = 150


@pytest.fixture(scope="module")
def site() -> Iterator[DemoServer]:
    """A site that takes a while, so that a crawl of it can be left in the middle."""
    with served(Demo(pages=PAGES, cases=False, crawl_delay_seconds=0, delay_seconds=0.05, page_bytes=2000)) as server:
        yield server


@pytest.fixture
def config(site: DemoServer, tmp_path: Path) -> crawler.Config:
    """A crawl of the site."""
    return crawler.load(write_config(tmp_path, site.url))


def descendants(pid: int | None = None) -> set[int]:
    """Return the processes below this one, or below another."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid or os.getpid()}/task").glob("*/children"):
        try:
            children = {int(child) for child in task.read_text().split()}
        except OSError:
            continue  # it has just ended
        found = found.union(children, *map(descendants, children))
    return found


def belongings() -> tuple[set[str], set[int], set[str], int]:
    """Return what a crawl could leave: descriptors by what they are, processes, threads, tasks."""
    descriptors = set()
    for fd in Path("/proc/self/fd").iterdir():
        try:
            descriptors.add(f"{fd.name} {fd.readlink()}")
        except OSError:
            continue  # the one that lists the folder
    # Threads of the loop's own executor end with the loop, and those of the demo site are not ours.
    threads = {thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}
    return ours(descriptors), descendants(), threads, len(asyncio.all_tasks())


def ours(descriptors: set[str]) -> set[str]:
    """Leave out the sockets of the demo site, which come and go in its thread."""
    return {name for name in descriptors if "socket:" not in name and "/proc/" not in name}


async def test_leaving_the_loop_early_leaves_nothing_behind(config: crawler.Config) -> None:
    before = belongings()
    seen = 0
    async with crawler.Crawl(config) as crawl:
        async for _ in crawl:
            seen += 1
            if seen == 1:
                assert set(crawl.snapshot().worker_pids) <= descendants() - before[1]  # type: ignore[union-attr]  # it runs
                assert belongings()[2] > before[2], "a running crawl has threads"
            if seen == 5:
                break
    assert belongings() == before
    assert crawl.summary is None, "it did not end, it was left"


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.1, 0.2])
async def test_cancelling_leaves_nothing_behind_and_the_next_run_goes_on(
    config: crawler.Config, seconds: float
) -> None:
    before = belongings()

    async def crawl_it() -> crawler.Summary:
        async with crawler.Crawl(config) as crawl:
            return await crawl.run()

    task = asyncio.create_task(crawl_it())
    await asyncio.sleep(seconds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert belongings() == before
    summary = await crawl_it()
    assert (summary.ended, summary.done) == ("complete", PAGES)
    assert belongings() == before


async def test_an_exception_in_the_loop_passes_and_leaves_nothing_behind(config: crawler.Config) -> None:
    before = belongings()

    async def read() -> None:
        async with crawler.Crawl(config) as crawl:
            async for _ in crawl:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await read()
    assert belongings() == before


async def test_several_crawls_run_in_one_loop(site: DemoServer, tmp_path: Path) -> None:
    before = belongings()

    async def one(number: int) -> set[str]:
        config = crawler.load(write_config(tmp_path, site.url, f"{number}.toml", out=f"out{number}"), ["cpu.workers=1"])
        async with crawler.Crawl(config) as crawl:
            return {record["url"] async for record in crawl}

    found = await asyncio.gather(one(1), one(2), one(3))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == PAGES
    assert belongings() == before


async def test_a_slow_reader_slows_the_crawl(site: DemoServer, tmp_path: Path) -> None:
    """Nobody reads: the crawl stops at what the budget holds, and goes on to the end when somebody does."""
    budget = 64 * 1024
    config = crawler.load(
        write_config(tmp_path, site.url),
        [f"cpu.queue_bytes={budget}B", "cpu.batch_bytes=16kB", "fetch.max_wire_bytes=16kB", "fetch.concurrency=4"],
    )
    async with crawler.Crawl(config) as crawl:
        records = aiter(crawl)
        await anext(records)
        fetched, before = -1, -2
        while fetched != before:  # until it stands still
            await asyncio.sleep(0.2)
            snapshot = crawl.snapshot()
            assert snapshot is not None
            fetched, before = snapshot.pages, fetched
        assert fetched < PAGES / 2, "fetching stopped"
        rest = [record async for record in records]
    assert len(rest) == PAGES - 1
    assert crawl.summary is not None
    assert crawl.summary.ended == "complete"
