"""D67: a server that asks for a pause gets it, as its own log shows; one that asks for too long costs nobody else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.download.downloader import Downloader
from crawler.download.fault import Fault
from crawler.download.values import Wanted
from crawler.testing import FaultServer, Reply, Request, serve, text, version
from crawler.testing.oracle import judge
from pipelines.pool.pool import WorkerPool
from tests.download.test_budget import OpenGate
from tests.support.downloading import LIMIT_SECONDS, options

MIB = 1024 * 1024
PAUSE = 1.0


class Refusing:
    """Refuses one request, by its number; serves all others at 8 MiB a second."""

    def __init__(self, number: int, status: int, retry_after: str, size: int) -> None:
        self.file = version("A", size)
        self.number, self.status, self.retry_after = number, status, retry_after

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        if request.number != self.number:
            return replace(serve(request, self.file), rate=8.0 * MIB)
        return text(self.status, "later\n", retry_after=self.retry_after)


@pytest.mark.parametrize(("status", "number"), [(503, 1), (500, 2)], ids=["the first", "a later one, no refusal"])
async def test_d67_the_next_request_comes_no_sooner_than_the_server_asked(
    status: int, number: int, tmp_path: Path, pool: WorkerPool
) -> None:
    """One connection, and a gate that lets everybody in: it is the file itself that waits."""
    server_side = Refusing(number, status, "1", 6 * MIB)
    with FaultServer() as server:
        server.mount("/f", server_side)
        async with Downloader(tmp_path, options(1), OpenGate(), pool) as downloader:
            result = await asyncio.wait_for(downloader.fetch(Wanted(server.url("/f"), "f")), LIMIT_SECONDS)
        refused, following = server.exchanges[number - 1 : number + 1]
    assert result.fault is None, result
    assert judge(tmp_path / "f", [server_side.file.body], says_success=True) == "right"
    assert refused.status == status
    assert PAUSE <= following.request.at - refused.request.at < PAUSE + 2.0


async def test_d67_nobody_asks_while_the_host_wants_its_pause(tmp_path: Path, pool: WorkerPool) -> None:
    """Four connections, two files: only what was under way goes on; its end is no reason to ask for the next piece."""
    server_side = Refusing(2, 503, "1", 6 * MIB)
    with FaultServer() as server:
        server.mount("/f", server_side)
        async with Downloader(tmp_path, options(2), pool=pool) as downloader:
            first = asyncio.create_task(downloader.fetch(Wanted(server.url("/f"), "f")))
            async with asyncio.timeout(LIMIT_SECONDS):
                while len(server.exchanges) < 2:  # noqa: ASYNC110 - the server counts in another thread
                    await asyncio.sleep(0.005)
                await asyncio.sleep(0.1)
                second = await downloader.fetch(Wanted(server.url("/f"), "g"))
                result = await first
        at = [exchange.request.at for exchange in server.exchanges]
    assert (result.fault, second.fault) == (None, None)
    assert at[2] - at[1] >= PAUSE
    assert at[1] - at[0] < PAUSE


async def test_d67_a_pause_that_is_too_long_ends_one_file_and_holds_up_no_other(
    tmp_path: Path, pool: WorkerPool
) -> None:
    """The host gets no longer pause than `retry_after_max` for the rest, which it may well serve by then."""
    server_side = Refusing(1, 503, "99999999", MIB // 2)
    with FaultServer() as server:
        server.mount("/f", server_side)
        chosen = replace(options(2), retry_after_max=0.5)
        async with Downloader(tmp_path, chosen, pool=pool) as downloader:
            first = await asyncio.wait_for(downloader.fetch(Wanted(server.url("/f"), "f")), 5)
            second = await asyncio.wait_for(downloader.fetch(Wanted(server.url("/f"), "g")), 5)
        at = [exchange.request.at for exchange in server.exchanges]
    assert (first.fault, second.fault) == (Fault.HTTP_5XX, None)
    assert "asks to wait" in first.detail
    assert len(at) == 2
    assert at[1] - at[0] >= 0.4
