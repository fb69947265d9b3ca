"""A crawl can be cancelled, left or broken at any turn: nothing is left behind, and the next run goes on."""

from __future__ import annotations

import asyncio
import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawler import Crawl
from crawler.errors import ExitCode, StateError
from tests.support.crash_jobs import Site
from tests.support.engine_runs import Belongings, Inline, config_for, identity, lines
from tests.support.leftovers import young_heap


@pytest.fixture(scope="module", autouse=True)
def few_objects() -> Iterator[None]:
    """For hundreds of looks at what is left."""
    with young_heap():
        yield


@pytest.fixture(scope="module")
def reference(slow_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What an undisturbed crawl records."""
    out = tmp_path_factory.mktemp("reference") / "out"

    async def crawl() -> None:
        async with Crawl(config_for(slow_site, out)) as crawl:
            assert (await crawl.run()).exit_code == ExitCode.COMPLETE

    asyncio.run(crawl())
    return identity(out)


async def crawl_inline(site: Site, out: Path, *, iterate: bool) -> list[str]:
    """Crawl without processes, so that many crawls fit into a second; return the URLs of what was yielded."""
    urls = []
    async with Crawl(config_for(site, out), executor=Inline()) as crawl:
        if iterate:
            async for record in crawl:
                urls.append(record["url"])  # noqa: PERF401 - what came before the cancellation counts
        else:
            await crawl.run()
    return urls


async def finish(site: Site, out: Path, reference: Any) -> None:
    """Run to the end and compare with an undisturbed run."""
    await crawl_inline(site, out, iterate=False)
    assert identity(out) == reference


async def turns(count: int) -> None:
    """Let the loop turn; a turn without anything to do would take no time, so some wait for the network."""
    for number in range(count):
        await asyncio.sleep(0.001 if number % 10 == 9 else 0)


TURNS = [*range(0, 40, 3), *range(40, 400, 23), *range(400, 2000, 160)]


@pytest.mark.parametrize("iterate", [False, True], ids=["run", "iterate"])
async def test_cancelling_at_any_turn_leaves_nothing_behind(
    iterate: bool, slow_site: Site, tmp_path: Path, reference: Any
) -> None:
    """One job, cancelled again and again: it must also get on, since each run keeps what it had committed."""
    out = tmp_path / "out"
    before = Belongings()
    for count in TURNS:
        task = asyncio.create_task(crawl_inline(slow_site, out, iterate=iterate))
        await turns(count)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None, (count, task.exception())
        before.assert_same()
    await finish(slow_site, out, reference)
    before.assert_same()


async def test_cancelling_again_while_it_ends_leaves_nothing_behind(
    slow_site: Site, tmp_path: Path, reference: Any
) -> None:
    """As a supervisor does that has lost its patience."""
    out = tmp_path / "out"
    before = Belongings()
    dice = random.Random(1)
    for _ in range(25):
        task = asyncio.create_task(crawl_inline(slow_site, out, iterate=dice.random() < 0.5))
        await turns(dice.randrange(300))
        while not task.done():
            task.cancel()
            await turns(dice.randrange(4))
        assert task.cancelled() or task.exception() is None, task.exception()
        before.assert_same()
    await finish(slow_site, out, reference)


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.2, 0.5, 0.8])
async def test_cancelling_ends_worker_processes_too(
    seconds: float, slow_site: Site, tmp_path: Path, reference: Any
) -> None:
    out = tmp_path / "out"
    before = Belongings()

    async def crawl() -> None:
        async with Crawl(config_for(slow_site, out)) as crawl:
            await crawl.run()

    task = asyncio.create_task(crawl())
    await asyncio.wait([task], timeout=seconds)
    task.cancel()
    await asyncio.wait([task])
    before.assert_same()
    await finish(slow_site, out, reference)


async def test_a_loop_that_was_left_goes_on_with_the_next_record(slow_site: Site, tmp_path: Path) -> None:
    before = Belongings()
    urls: list[str] = []
    async with Crawl(config_for(slow_site, tmp_path / "out"), executor=Inline()) as crawl:
        for share in (1, 2, 30, 1000):
            async for record in crawl:
                urls.append(record["url"])
                if len(urls) >= share:
                    break
    assert sorted(urls) == sorted(line["url"] for line in lines(tmp_path / "out"))
    assert len(urls) == len(set(urls)) == 120
    before.assert_same()


async def test_an_error_of_the_consumer_passes_and_the_next_run_goes_on(
    slow_site: Site, tmp_path: Path, reference: Any
) -> None:
    before = Belongings()
    out = tmp_path / "out"
    config = config_for(slow_site, out, {"fetch": {"concurrency": 4}})
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - as used
        async with Crawl(config, executor=Inline()) as crawl:
            async for record in crawl:
                record["status"] / 0
    before.assert_same()
    await finish(slow_site, out, reference)


async def test_two_crawls_in_one_loop_know_nothing_of_each_other(
    slow_site: Site, tmp_path: Path, reference: Any
) -> None:
    before = Belongings()
    outs = [tmp_path / "one", tmp_path / "two"]
    shared = Inline()

    async def crawl(out: Path) -> int:
        async with Crawl(config_for(slow_site, out), executor=shared) as crawl:
            return len([record async for record in crawl])

    assert await asyncio.gather(*map(crawl, outs)) == [120, 120]
    assert [identity(out) for out in outs] == [reference, reference]
    before.assert_same()


async def test_a_stop_drains_and_the_next_run_goes_on(slow_site: Site, tmp_path: Path, reference: Any) -> None:
    before = Belongings()
    out = tmp_path / "out"
    async with Crawl(config_for(slow_site, out, {"fetch": {"concurrency": 4}}), executor=Inline()) as crawl:
        seen = 0
        async for _ in crawl:
            seen += 1
            if seen == 20:
                crawl.stop()
    assert crawl.summary is not None
    assert crawl.summary.exit_code == ExitCode.INTERRUPTED
    assert crawl.summary.adds_up()
    assert crawl.summary.pending > 0
    assert len(lines(out)) == seen == crawl.summary.done
    before.assert_same()
    await finish(slow_site, out, reference)


@pytest.mark.parametrize("number", [1, 2, 3, 5])
@pytest.mark.parametrize("call", ["fdatasync", "pwrite"])
async def test_a_disk_that_fails_once_ends_the_run_and_the_next_goes_on(
    call: str, number: int, slow_site: Site, tmp_path: Path, reference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records yielded before are those that are durable: no other was reported."""
    out = tmp_path / "out"
    before = Belongings()
    real, left = getattr(os, call), [number]

    def fail_once(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*arguments)

    monkeypatch.setattr(os, call, fail_once)
    urls: list[str] = []
    config = config_for(slow_site, out, {"output": {"commit_interval": "20ms"}})
    with pytest.raises(StateError, match=r"Input/output error; make room or mend the disk"):  # noqa: PT012 - as used
        async with Crawl(config, executor=Inline()) as crawl:
            async for record in crawl:
                urls.append(record["url"])  # noqa: PERF401 - what came before the error counts
    monkeypatch.undo()
    before.assert_same()
    async with Crawl(config_for(slow_site, out), executor=Inline()) as crawl:
        urls += [record["url"] async for record in crawl]
    assert identity(out) == reference
    assert sorted(urls) == sorted(line["url"] for line in lines(out)), "each record once, in one run or the other"
