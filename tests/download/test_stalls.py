"""Connections that fall silent, and streams that crawl: given up after a clear bound, never because they are slow."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.download import version as in_versions
from crawler.download.downloader import Downloader
from crawler.download.plan import rescue
from crawler.download.proof.digests import parse_digest
from crawler.download.values import DownloadOptions, FileResult, Wanted
from crawler.testing import FaultServer, Reply, Request, serve, version
from crawler.testing.bodies import digest, flipped
from crawler.testing.messages import End
from crawler.testing.oracle import judge
from pipelines.pool.pool import WorkerPool
from tests.support.downloading import LIMIT_SECONDS, fetch_options, options
from tests.support.faults import FaultServer as ScriptedServer
from tests.support.faults import Step, Wait, head

MIB = 1024 * 1024
BODY = version("A", 20_000).body.read(0, 20_000)


def patient(segments: int, stall: float) -> DownloadOptions:
    """Return options by which only `stall` can end a silence within the time of a test."""
    fetch = replace(fetch_options(), connect_timeout=0.8, read_timeout=30.0, min_rate=0.0)  # looked at every 0.2 s
    return replace(options(segments, fetch), stall_timeout=stall)


async def timed(root: Path, chosen: DownloadOptions, wanted: Wanted, pool: WorkerPool) -> tuple[FileResult, float]:
    """Download one file; return the result and the seconds it took."""
    async with Downloader(root, chosen, pool=pool) as downloader:
        began = time.monotonic()
        result = await asyncio.wait_for(downloader.fetch(wanted), LIMIT_SECONDS)
        return result, time.monotonic() - began


@pytest.mark.parametrize(
    ("size", "which", "cut"), [(6 * MIB, 1, 100_000), (6 * MIB, 2, 100_000), (6 * MIB, 2, 0), (500_000, 1, 100_000)]
)
async def test_a_part_that_stalls_is_gone_on_with_elsewhere(
    size: int, which: int, cut: int, tmp_path: Path, pool: WorkerPool
) -> None:
    """With one connection nobody else can notice. What came is kept; a small file is asked for again."""
    file = version("A", size)

    def stalling(request: Request) -> Reply:
        reply = serve(request, file)
        return replace(reply, cut=cut, after=End.HANG) if request.number == which else reply

    with FaultServer() as server:
        server.mount("/f", stalling)
        result, seconds = await timed(tmp_path, patient(1, 0.4), Wanted(server.url("/f"), "f"), pool)
        stalled, again = server.requests[which - 1 : which + 1]
    assert result.fault is None, result
    assert judge(tmp_path / "f", [file.body], says_success=True) == "right"
    assert 0.4 <= seconds < 4.0
    assert again.connection != stalled.connection
    if size > MIB and cut:
        assert again.first > stalled.first, "what had come was thrown away"


def pausing(*head_lines: str, at: int, seconds: float, status: str) -> list[Step]:
    """Return what a server does that falls silent before one byte of the body."""
    return [head(status, *head_lines, length=len(BODY)), BODY[:at], Wait(seconds), BODY[at:]]


async def test_a_server_that_is_slow_but_alive_gets_more_time_and_is_heard_out(
    tmp_path: Path, pool: WorkerPool
) -> None:
    """0.8 s of silence: too long for a bound of 0.2 s and for one of 0.4 s, not for the next one."""
    part = pausing(f"Content-Range: bytes 0-{len(BODY) - 1}/{len(BODY)}", at=9000, seconds=0.75, status="206 Partial")
    with ScriptedServer({"/f": part}) as server:
        result, _ = await timed(tmp_path, patient(1, 0.2), Wanted(server.url("/f"), "f"), pool)
        asked = len(server.seen)
    assert result.fault is None, result
    assert asked == 3
    assert (tmp_path / "f").read_bytes() == BODY


async def test_a_stream_that_would_begin_again_has_the_whole_read_timeout(tmp_path: Path, pool: WorkerPool) -> None:
    """What `stall_timeout` saves with parts it would cost here."""
    whole = pausing(at=9000, seconds=1.0, status="200 OK")
    with ScriptedServer({"/f": whole}) as server:
        result, _ = await timed(tmp_path, patient(4, 0.2), Wanted(server.url("/f"), "f"), pool)
        asked = len(server.seen)
    assert (result.fault, asked) == (None, 1), result


@pytest.mark.parametrize("crawling", [1, 9])
async def test_d75_a_whole_stream_that_crawls_is_asked_for_again_where_others_were_fast(
    crawling: int, tmp_path: Path, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts come wrong, and the whole file over a slow connection: another may be faster, or be it as slow as it is."""
    monkeypatch.setattr(in_versions, "LOOK", 0.2)  # seconds of the parent's; no test should last as long as they are
    file, rate = version("A", 3 * MIB), 0.25 * MIB if crawling == 1 else 1.5 * MIB
    monkeypatch.setattr(rescue, "WORTH", 1.0)
    streams = 0

    def respond(request: Request) -> Reply:
        nonlocal streams
        if request.range is not None:
            return serve(request, replace(file, body=flipped(file.body, 2 * MIB)))
        streams += 1
        reply = serve(request, file)
        return replace(reply, rate=rate) if streams <= crawling else reply

    with FaultServer() as server:
        server.mount("/f", respond)
        wanted = Wanted(server.url("/f"), "f", (parse_digest(f"sha256:{digest(file.body)}"),))
        result, seconds = await timed(tmp_path, patient(4, 10.0), wanted, pool)
    assert result.status == "verified", result
    assert streams == (2 if crawling == 1 else 3)
    assert seconds < 8.0, "as slow as the slow one, which takes twelve"
