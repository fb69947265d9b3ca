"""Hosts in trouble, in real crawls and by the server's own log: they are left alone, and the others go on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from crawler.config import Config
from crawler.engine.clock import Clock
from crawler.engine.crawl import Crawl
from crawler.engine.summary import Summary
from crawler.errors import ExitCode
from tests.support.engine_runs import Inline, Tables, lines
from tests.support.hosts import Answer, Host


def config_of(out: Path, seeds: list[str], tables: Tables) -> Config:
    merged: dict[str, dict[str, Any]] = {
        "job": {"seeds": seeds, "out": str(out), "max_failed_ratio": 1.0},
        "fetch": {"allow_addresses": ["127.0.0.0/8"], "retries": 0},
        "politeness": {"delay": 0, "robots": False},
        "output": {"commit_interval": 0.02},
    }
    for name, table in tables.items():
        merged.setdefault(name, {}).update(table)
    return Config(**merged)


async def crawl(config: Config, *, jitter: float | None = None) -> Summary:
    """Crawl in this process, with chance taken out when `jitter` is given."""
    now = asyncio.get_running_loop().time
    clock = Clock(now) if jitter is None else Clock(now, random=lambda: jitter)
    async with Crawl(config, executor=Inline(), clock=clock) as crawl:
        return await crawl.run()


def chain(length: int, seconds: float = 0.0, ended: asyncio.Event | None = None) -> Answer:
    """Return a site whose pages 0, 1, 2, … each link to the next only."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/robots.txt":
            return web.Response(status=404)
        number = int(request.path[1:])
        await asyncio.sleep(seconds)
        if number < length - 1:
            return web.Response(text=f'<a href="/{number + 1}">next</a>', content_type="text/html")
        if ended is not None:
            ended.set()
        return web.Response(text="<p>the last", content_type="text/html")

    return answer


async def silence(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60.0)
    raise AssertionError("nobody waits so long")


@pytest.mark.parametrize(("slots", "count"), [(8, 1), (64, 1), (64, 20)])
async def test_a_dead_host_holds_up_nobody(slots: int, count: int, tmp_path: Path) -> None:
    """Its limit is as large as the crawl's, so nothing but the share of the others keeps it from taking all slots."""
    ended = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        well = await stack.enter_async_context(Host("127.0.0.2", chain(25, ended=ended)).open())
        dead = [await stack.enter_async_context(Host(f"127.0.1.{n}", silence).open()) for n in range(1, count + 1)]
        seeds = [f"{host.url}/{number}" for number in range(100) for host in dead] + [f"{well.url}/0"]
        fetch = {"concurrency": slots, "read_timeout": 8.0}
        config = config_of(tmp_path / "out", seeds, {"fetch": fetch, "politeness": {"per_host": slots}})
        began = time.monotonic()
        task = asyncio.create_task(crawl(config))
        await asyncio.wait({task, asyncio.create_task(ended.wait())}, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert all(len(host.seen) >= 2 for host in dead)
    assert len(well.seen) == 25
    assert max(well.gaps()) < 2.5
    assert well.seen[-1][0] - began < 4.0


async def test_a_host_in_trouble_is_left_alone_and_the_other_goes_on(tmp_path: Path) -> None:
    """503 with Retry-After, 429, a reset, and well again: each silence is as long as it must be, for all its URLs."""
    troubles = [
        web.Response(status=503, headers={"Retry-After": "1"}), web.Response(status=429), None,
    ]  # fmt: skip

    async def answer(request: web.Request) -> web.StreamResponse:
        if not troubles:
            return web.Response(text="<p>well", content_type="text/html")
        trouble = troubles.pop(0)
        if trouble is not None:
            return trouble
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with Host("127.0.0.1", answer).open() as sick, Host("127.0.0.2", chain(30, 0.07)).open() as well:
        seeds = [f"{sick.url}/{number}" for number in range(8)] + [f"{well.url}/0"]
        fetch = {"retries": 3, "retry_delay": 0.2}
        config = config_of(tmp_path / "out", seeds, {"fetch": fetch, "politeness": {"per_host": 1}})
        summary = await crawl(config)
    assert summary.exit_code == ExitCode.COMPLETE
    assert (summary.done, summary.failed, summary.retries) == (38, 0, 3)
    gaps = sick.gaps()
    assert 0.99 < gaps[0] < 2.5, "Retry-After"
    assert 0.39 < gaps[1] < 1.5, "the back-off, doubled"
    assert 0.79 < gaps[2] < 2.5, "and doubled again, since nothing was well in between"
    assert sum(gaps[3:7]) < 1.5, "an answer ends it for all URLs that waited"
    for (early, _), (late, _) in pairwise(sick.seen[:4]):
        assert well.seen_between(early, late) >= 2


async def test_a_retry_waits_as_long_as_it_was_asked_to_though_its_host_does_not(tmp_path: Path) -> None:
    """A 408 with Retry-After speaks of one request. Without one, back-off and jitter say when."""

    async def answer(request: web.Request) -> web.StreamResponse:
        is_first = len(host.times_of(request.path)) == 1
        if is_first and request.path == "/asked":
            return web.Response(status=408, headers={"Retry-After": "1"})
        return web.Response(status=408 if is_first and request.path == "/plain" else 200)

    async with Host("127.0.0.1", answer).open() as host:
        seeds = [f"{host.url}/{name}" for name in ("asked", "plain", "fine")]
        tables: Tables = {"fetch": {"retries": 1, "retry_delay": 0.4}, "politeness": {"per_host": 1}}
        summary = await crawl(config_of(tmp_path / "out", seeds, tables), jitter=0.9)
    assert (summary.done, summary.failed) == (3, 0)
    asked, plain = host.times_of("/asked"), host.times_of("/plain")
    assert 0.99 < asked[1] - asked[0] < 2.5
    assert 0.37 < plain[1] - plain[0] < 0.99, "half of 400 ms, and nine tenths of the other half"
    assert host.times_of("/fine")[0] - asked[0] < 0.9


async def test_retries_have_a_budget(tmp_path: Path) -> None:
    """A site that fails every request is not asked twice as much for it."""
    pages = 200

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/":
            links = "".join(f'<a href="/{number}">x</a>' for number in range(pages))
            return web.Response(text=links, content_type="text/html")
        return web.Response(status=408)

    async with Host("127.0.0.1", answer).open() as host:
        tables: Tables = {"fetch": {"retries": 3, "retry_delay": 0.01}, "politeness": {"per_host": 16}}
        summary = await crawl(config_of(tmp_path / "out", [f"{host.url}/"], tables))
    assert summary.failed == pages == len(lines(tmp_path / "out", "errors"))
    assert 100 <= summary.retries <= 101 + 0.1 * len(host.seen)
    assert len(host.seen) == 1 + pages + summary.retries


async def test_a_host_whose_robots_txt_cannot_be_had_is_left_alone(tmp_path: Path) -> None:
    """RFC 9309 2.3.1.4: whoever cannot be reached is to be taken for forbidding everything, page by page."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/robots.txt":
            assert request.transport is not None
            request.transport.abort()
        return web.Response(text="<p>never asked for", content_type="text/html")

    async with Host("127.0.0.3", answer).open() as closed:
        pass
    async with Host("127.0.0.1", answer).open() as breaks, Host("127.0.0.2", chain(5)).open() as well:
        seeds = [f"{closed.url}/a", f"{closed.url}/b", f"{breaks.url}/a", f"{well.url}/0"]
        tables: Tables = {"politeness": {"robots": True}, "fetch": {"retries": 1, "retry_delay": 0.05}}
        summary = await crawl(config_of(tmp_path / "out", seeds, tables))
    assert {path for _, path in breaks.seen} == {"/robots.txt"}
    assert closed.seen == []
    skipped = {line["url"]: line["reason"] for line in lines(tmp_path / "out", "skipped")}
    assert skipped == dict.fromkeys(seeds[:3], "robots_unavailable")
    assert (summary.done, summary.failed) == (5, 0)
