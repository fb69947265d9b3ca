"""D101, D22, D72, D124: how many requests at once, how many in all, and how fast."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.download.downloader import Downloader
from crawler.download.values import Gate, Wanted
from crawler.testing import FaultServer, serve, version
from crawler.testing.cases import named
from crawler.testing.oracle import judge
from pipelines.pool.pool import WorkerPool
from tests.support.downloading import LIMIT_SECONDS, fetch, options, set_up

MIB = 1024 * 1024


class OpenGate:
    """Lets everybody in: in a crawl the frontier decides, and knows nothing of connections that were refused."""

    async def enter(self, url: str) -> None:
        """Wait for nothing."""

    def leave(self, url: str) -> None:
        """Note nothing."""

    def slow_down(self, url: str, retry_after: float | None) -> None:
        """Note nothing."""


async def test_d101_many_files_share_the_budget_of_their_host(tmp_path: Path, pool: WorkerPool) -> None:
    """Twelve files of eight segments from one host that may be asked by three at once."""
    file = version("A", 3 * MIB + 5)
    with FaultServer() as server:
        for number in range(12):
            server.mount(f"/{number}", lambda request: replace(serve(request, file), rate=20e6))
        wanted = [Wanted(server.url(f"/{number}"), f"{number}") for number in range(12)]
        async with Downloader(tmp_path, replace(options(8), per_host=3), pool=pool) as downloader:
            results = [result async for result in downloader.fetch_all(wanted)]
        assert server.most_active <= 3
    assert [result.fault for result in results] == [None] * 12
    assert all(judge(tmp_path / f"{number}", [file.body], says_success=True) == "right" for number in range(12))


@pytest.mark.parametrize("name", ["D22-429", "D22-503", "D22-reset"])
async def test_d22_a_refused_connection_is_not_asked_for_again_and_again(
    name: str, tmp_path: Path, pool: WorkerPool
) -> None:
    """Eight segments against a server that takes two: it is right in the end, and few requests were refused."""
    case = named(name)
    with set_up(case) as setting:
        ended = await fetch(case, setting, tmp_path / "out", pool, 8)
        refused = [exchange for exchange in setting.server.exchanges if exchange.request.active > 2]
    assert ended.verdict == "right", ended.result
    assert len(refused) <= 20


@pytest.mark.parametrize("name", ["D22-429", "D22-503", "D22-reset"])
@pytest.mark.parametrize(("at_once", "gate"), [(1, None), (2, None), (1, OpenGate())])
async def test_d22_what_one_file_was_refused_the_others_of_the_host_know(
    name: str, at_once: int, gate: Gate | None, tmp_path: Path, pool: WorkerPool
) -> None:
    """One file after the other from a server that takes two connections: nothing of the later ones is refused."""
    case = named(name)
    with set_up(case) as setting:
        async with Downloader(tmp_path, options(8), gate, pool) as downloader:
            first = await asyncio.wait_for(downloader.fetch(Wanted(setting.url, "first")), LIMIT_SECONDS)
            before = len(setting.server.exchanges)
            later = [downloader.fetch(Wanted(setting.url, f"later{number}")) for number in range(at_once)]
            results = [first, *await asyncio.wait_for(asyncio.gather(*later), LIMIT_SECONDS)]
        first_ones, later_ones = setting.server.exchanges[:before], setting.server.exchanges[before:]
    assert any(exchange.request.active > 2 for exchange in first_ones), "else nothing is to be learnt"
    assert [exchange for exchange in later_ones if exchange.request.active > 2] == []
    assert [result.fault for result in results] == [None] * (1 + at_once)
    assert all(judge(tmp_path / str(each.path), setting.right, says_success=True) == "right" for each in results)


@pytest.mark.parametrize("segments", [1, 8])
async def test_d72_retries_are_few_and_apart(segments: int, tmp_path: Path, pool: WorkerPool) -> None:
    """A server that always fails is asked a handful of times for a file, not a handful of times for each segment."""
    case = named("D72")
    with set_up(case) as setting:
        ended = await fetch(case, setting, tmp_path / "out", pool, segments)
    assert ended.result.fault is not None
    assert 2 <= ended.requests <= 8


@pytest.mark.parametrize("segments", [1, 8])
async def test_d124_the_rate_limit_is_kept(segments: int, tmp_path: Path, pool: WorkerPool) -> None:
    """4 MiB at 2 MiB a second, for all segments and processes together, take two seconds; a tenth may be missing."""
    file = version("A", 4 * MIB)
    with FaultServer() as server:
        server.mount("/f", lambda request: serve(request, file))
        chosen = replace(options(segments), rate_limit=2.0 * MIB)
        async with Downloader(tmp_path, chosen, pool=pool) as downloader:
            began = time.monotonic()
            result = await asyncio.wait_for(downloader.fetch(Wanted(server.url("/f"), "f")), LIMIT_SECONDS)
            seconds = time.monotonic() - began
    assert result.fault is None, result
    assert 1.7 <= seconds <= 3.0


async def test_d73_a_slow_connection_does_not_hold_up_the_file(tmp_path: Path, pool: WorkerPool) -> None:
    """16 MiB with one of four connections at 1/16 of the rate: 1.3 s if all were well used, 4 s for one stream."""
    case = named("D73")
    with set_up(case) as setting:
        ended = await fetch(case, setting, tmp_path / "out", pool, 4)
    assert ended.verdict == "right", ended.result
    assert ended.result.seconds < 2.5
