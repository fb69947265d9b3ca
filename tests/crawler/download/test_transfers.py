"""Whole downloads against a server on loopback: what a user sees, and what stays on the disk."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from crawler.download import Digest, Downloader, DownloadOptions, Fault, FileProgress, FileResult, Wanted
from crawler.download.disk.receipt import Receipt, load
from crawler.download.worker.terms import PRELOAD
from crawler.fetch.options import FetchOptions
from crawler.testing.bodies import digest, flipped
from crawler.testing.faultserver import FaultServer
from crawler.testing.files import ServedFile, serve, version
from crawler.testing.messages import Framing, Reply, Request, redirect
from pipelines.pool.pool import WorkerPool
from tests.support.waiting import bytes_sent

MIB = 1 << 20
PATH = "/data.bin"


def options(**changes: object) -> DownloadOptions:
    base = DownloadOptions(
        segments=4, retries=3, retry_delay=0.02, retry_delay_max=0.1, is_durable=False, sync_seconds=0.1,
        fetch=FetchOptions(allow_addresses=("127.0.0.0/8",), read_timeout=2.0),
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]  # of many types


@pytest.fixture
async def downloader(tmp_path: Path, pool: WorkerPool) -> AsyncIterator[Downloader]:
    async with Downloader(tmp_path / "out", options(), pool=pool) as downloader:
        yield downloader


def sha256(file: ServedFile) -> Digest:
    return Digest("sha256", bytes.fromhex(digest(file.body)))


def slowly(file: ServedFile, rate: float) -> object:
    return lambda request: replace(serve(request, file), rate=rate)


def leftovers(root: Path) -> list[str]:
    """What lies in the folder of temporary files, and what locks are left."""
    room = root / ".crawlmill"
    return sorted(path.name for folder in ("parts", "locks") for path in room.glob(f"{folder}/*"))


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, MIB - 1, MIB, MIB + 1, 4 * MIB, 4 * MIB + 1, 20 * MIB])
async def test_files_of_all_sizes_arrive_verified(
    size: int, server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    file = version("A", size)
    server.mount(PATH, lambda request: serve(request, file))
    result = await downloader.fetch(Wanted(server.url(PATH), "a/b/data.bin", (sha256(file),)))
    assert (result.status, result.size, result.path, result.fault) == ("verified", size, "a/b/data.bin", None), result
    path = tmp_path / "out/a/b/data.bin"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest(file.body)
    assert leftovers(tmp_path / "out") == []
    receipt = load(tmp_path / "out/.crawlmill/receipts/a%2Fb%2Fdata.bin.json")
    assert isinstance(receipt, Receipt)
    assert (receipt.status, receipt.size, receipt.url) == ("verified", size, result.url)


async def test_a_large_file_is_fetched_by_several_connections_at_once(
    server: FaultServer, downloader: Downloader
) -> None:
    file = version("A", 24 * MIB)
    server.mount(PATH, slowly(file, 8 * MIB))  # type: ignore[arg-type]  # a responder
    result = await downloader.fetch(Wanted(server.url(PATH), "x", (sha256(file),)))
    assert result.status == "verified"
    assert result.segments == server.most_active == 4
    assert result.fetched_bytes < 24 * MIB + MIB


async def test_every_request_behind_the_first_names_the_version_it_wants(
    server: FaultServer, downloader: Downloader
) -> None:
    file = version("A", 24 * MIB)
    server.mount(PATH, lambda request: serve(request, file))
    assert (await downloader.fetch(Wanted(server.url(PATH), "x", (sha256(file),)))).status == "verified"
    first, *others = server.requests
    assert first.header("if-range") is None
    assert others
    assert {request.header("if-range") for request in others} == {file.etag}
    assert first.header("if-match") is None
    assert {request.header("if-match") for request in others} == {file.etag}


async def test_a_server_that_denies_the_tag_it_gives_is_believed_once(
    server: FaultServer, downloader: Downloader
) -> None:
    """D34: 412 means another file, so all is discarded; when it is the same one, If-Match is not sent there again."""
    file = version("A", 24 * MIB)
    server.mount(
        PATH,
        lambda request: (
            Reply(412) if request.header("if-match") else serve(request, replace(file, does_if_match=False))
        ),
    )
    result = await downloader.fetch(Wanted(server.url(PATH), "x", (sha256(file),)))
    assert (result.status, result.segments > 1) == ("verified", True)
    openings = [number for number, request in enumerate(server.requests) if request.header("if-range") is None]
    assert len(openings) == 2
    assert all(request.header("if-match") is None for request in server.requests[openings[1] :])


async def test_if_match_finds_a_change_that_no_answer_names(server: FaultServer, downloader: Downloader) -> None:
    """D31: 206 without a tag, from a server that ignores If-Range, and the bytes at the border are the same."""
    old = version("A", 24 * MIB)
    new = replace(old, body=flipped(old.body, 20 * MIB + 500_000), etag='"new"', does_if_range=False)
    turned = False

    def respond(request: Request) -> Reply:
        nonlocal turned
        reply = serve(request, new if turned else old)
        turned = True
        if request.header("if-range") is not None:
            reply = reply.with_field("ETag", None).with_field("Last-Modified", None)
        return reply

    server.mount(PATH, respond)
    result = await downloader.fetch(Wanted(server.url(PATH), "x"))
    assert (result.status, result.digests) == ("unverified", {"sha256": digest(new.body)})
    assert 412 in [exchange.status for exchange in server.exchanges]


async def test_a_file_that_is_there_is_not_fetched_again(server: FaultServer, downloader: Downloader) -> None:
    file = version("A", 3 * MIB)
    server.mount(PATH, lambda request: serve(request, file))
    wanted = Wanted(server.url(PATH), "x", (sha256(file),))
    first = await downloader.fetch(wanted)
    asked = len(server.exchanges)
    second = await downloader.fetch(wanted)
    assert len(server.exchanges) == asked
    assert (second.status, second.verified_by, second.fetched_bytes) == ("verified", first.verified_by, 0)


async def test_what_somebody_else_put_there_stays(server: FaultServer, downloader: Downloader, tmp_path: Path) -> None:
    server.mount(PATH, lambda request: serve(request, version("A", 1000)))
    (tmp_path / "out/x").write_bytes(b"mine")
    result = await downloader.fetch(Wanted(server.url(PATH), "x"))
    assert (result.status, result.fault) == ("failed", Fault.EXISTS)
    assert (tmp_path / "out/x").read_bytes() == b"mine"
    assert server.exchanges == []


@pytest.mark.parametrize("size", [1000, 9 * MIB])
async def test_names_from_the_answer_never_clash(size: int, server: FaultServer, downloader: Downloader) -> None:
    file = replace(version("A", size), fields=(("Content-Disposition", 'attachment; filename="../../set.bin"'),))
    server.mount(PATH, lambda request: serve(request, file))
    server.mount("/other", lambda request: serve(request, file))
    one = await downloader.fetch(Wanted(server.url(PATH)))
    two = await downloader.fetch(Wanted(server.url("/other")))
    again = await downloader.fetch(Wanted(server.url(PATH)))
    assert [each.path for each in (one, two, again)] == ["set.bin", "set-2.bin", "set.bin"]
    assert again.detail == "there already"
    assert (one.beside, two.beside, again.beside) == (None, None, None), "nobody takes one for the other"
    other = Digest("sha256", bytes(32))
    asked = await downloader.fetch(Wanted(server.url(PATH), digests=(other,)))
    assert asked.fault is Fault.DIGEST_MISMATCH
    assert f"set.bin is there, and is not what is wanted: sha256:{digest(file.body)} instead of" in str(asked.beside)


async def test_a_name_that_is_no_file_is_told(server: FaultServer, downloader: Downloader, tmp_path: Path) -> None:
    server.mount("/x.bin", lambda request: serve(request, version("A", 1000)))
    (tmp_path / "out/x.bin").mkdir()
    result = await downloader.fetch(Wanted(server.url("/x.bin")))
    assert (result.path, result.beside) == ("x-2.bin", f"{tmp_path}/out/x.bin is a folder, not a file")


async def test_names_beside_others_count_on(server: FaultServer, downloader: Downloader) -> None:
    """Not `x-2-2.bin`."""
    paths = []
    for number in range(4):
        server.mount(f"/{number}/x.bin", lambda request: serve(request, version("A", 1000)))
        paths.append((await downloader.fetch(Wanted(server.url(f"/{number}/x.bin")))).path)
    assert paths == ["x.bin", "x-2.bin", "x-3.bin", "x-4.bin"]


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", ".crawlmill/x", "a\0b", ""])
async def test_a_path_that_leads_out_is_refused(path: str, server: FaultServer, downloader: Downloader) -> None:
    result = await downloader.fetch(Wanted(server.url(PATH), path))
    assert result.fault is Fault.NAME_UNSAFE
    assert server.exchanges == []


async def test_wrong_bytes_never_get_a_name(server: FaultServer, downloader: Downloader, tmp_path: Path) -> None:
    server.mount(PATH, lambda request: serve(request, version("B", 9 * MIB)))
    result = await downloader.fetch(Wanted(server.url(PATH), "x", (sha256(version("A", 9 * MIB)),)))
    assert (result.status, result.fault, result.path) == ("mismatch", Fault.DIGEST_MISMATCH, None)
    assert not (tmp_path / "out/x").exists()
    assert leftovers(tmp_path / "out") == []


async def test_a_mirror_helps_when_the_first_place_is_gone(server: FaultServer, downloader: Downloader) -> None:
    file = version("A", 9 * MIB)
    server.mount("/gone", lambda request: Reply(404))
    server.mount(PATH, lambda request: serve(request, file))
    result = await downloader.fetch(Wanted(server.url("/gone"), "x", (sha256(file),), mirrors=(server.url(PATH, 1),)))
    assert (result.status, result.final_url, result.mirrors) == ("verified", server.url(PATH, 1), 1)


async def test_a_mirror_helps_when_the_first_place_has_other_bytes(server: FaultServer, downloader: Downloader) -> None:
    file = version("A", 9 * MIB)
    server.mount("/bad", lambda request: serve(request, version("B", 9 * MIB)))
    server.mount(PATH, lambda request: serve(request, file))
    result = await downloader.fetch(Wanted(server.url("/bad"), "x", (sha256(file),), mirrors=(server.url(PATH),)))
    assert (result.status, result.final_url) == ("verified", server.url(PATH))


@pytest.mark.parametrize("size", [1000, 9 * MIB])
async def test_a_redirect_is_reported_to_who_wants_to_decide(
    size: int, server: FaultServer, downloader: Downloader
) -> None:
    server.mount(PATH, lambda request: redirect("/elsewhere"))
    result = await downloader.fetch(Wanted(server.url(PATH), "x", size=size), on_redirect="report")
    assert (result.fault, result.final_url) == (Fault.REDIRECT, server.url("/elsewhere"))
    assert len(server.exchanges) == 1


async def test_a_file_that_is_too_large_or_of_another_size_is_refused_by_its_head(
    server: FaultServer, tmp_path: Path, pool: WorkerPool
) -> None:
    server.mount(PATH, lambda request: serve(request, version("A", 50 * MIB)))
    async with Downloader(tmp_path / "out", options(max_bytes=MIB), pool=pool) as downloader:
        limited = await downloader.fetch(Wanted(server.url(PATH), "x"))
        other = await downloader.fetch(Wanted(server.url(PATH), "y", size=49 * MIB))
    assert (limited.fault, other.fault) == (Fault.SIZE_LIMIT, Fault.SIZE_MISMATCH)
    assert limited.fetched_bytes == other.fetched_bytes == 0


def _late(request: Request, file: ServedFile) -> Reply:
    return replace(serve(request, file), delay=0.01)


async def test_many_files_come_as_they_finish_and_keep_to_the_limit_of_a_host(
    server: FaultServer, tmp_path: Path, pool: WorkerPool
) -> None:
    files = {f"/{number}": version("A", 1000 * number + number % 3 * MIB) for number in range(60)}
    for path, file in files.items():
        server.mount(path, partial(_late, file=file))
    wanted = [Wanted(server.url(path), path[1:] + ".bin", (sha256(file),)) for path, file in files.items()]
    async with Downloader(tmp_path / "out", options(per_host=3), pool=pool) as downloader:
        results = [result async for result in downloader.fetch_all(iter(wanted))]
    assert {result.status for result in results} == {"verified"}
    assert len({result.path for result in results}) == 60
    assert server.most_active <= 3


async def test_a_cancelled_download_goes_on_where_it_was(server: FaultServer, tmp_path: Path, pool: WorkerPool) -> None:
    """And nothing that was known to be good is fetched again."""
    file = version("A", 32 * MIB)
    server.mount(PATH, slowly(file, 4 * MIB))  # type: ignore[arg-type]  # a responder
    wanted = Wanted(server.url(PATH), "x", (sha256(file),))
    async with Downloader(tmp_path / "out", options(), pool=pool) as downloader:
        task = asyncio.create_task(downloader.fetch(wanted))
        await bytes_sent(server, 14 * MIB)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not (tmp_path / "out/x").exists()
        server.mount(PATH, lambda request: serve(request, file))
        result = await downloader.fetch(wanted)
    assert result.status == "verified"
    assert result.resumed_bytes > 4 * MIB
    assert result.fetched_bytes + result.resumed_bytes < 33 * MIB
    assert leftovers(tmp_path / "out") == []


@pytest.mark.parametrize("has_ranges", [True, False])
async def test_without_any_digest_to_compute_a_file_comes_as_well(
    has_ranges: bool, server: FaultServer, tmp_path: Path, pool: WorkerPool
) -> None:
    """Nobody then tells how far the hash is."""
    file = replace(version("A", 8 * MIB), has_ranges=has_ranges)
    server.mount(PATH, lambda request: serve(request, file))
    async with Downloader(tmp_path / "out", replace(options(), algorithms=()), pool=pool) as downloader:
        result = await asyncio.wait_for(downloader.fetch(Wanted(server.url(PATH), "x")), 20)
    assert (result.status, result.fault, result.digests) == ("unverified", None, {})
    assert (tmp_path / "out/x").read_bytes() == file.body.read(0, 8 * MIB)


async def test_another_version_is_not_mixed_with_what_was_kept(
    server: FaultServer, tmp_path: Path, pool: WorkerPool
) -> None:
    old, new = version("A", 32 * MIB), version("B", 32 * MIB)
    server.mount(PATH, slowly(old, 4 * MIB))  # type: ignore[arg-type]  # a responder
    async with Downloader(tmp_path / "out", options(), pool=pool) as downloader:
        task = asyncio.create_task(downloader.fetch(Wanted(server.url(PATH), "x")))
        await bytes_sent(server, 8 * MIB)
        task.cancel()
        await asyncio.wait([task])
        server.mount(PATH, lambda request: serve(request, new))
        result = await downloader.fetch(Wanted(server.url(PATH), "x"))
    assert (result.status, result.digests["sha256"], result.resumed_bytes) == ("unverified", digest(new.body), 0)


async def test_a_worker_that_dies_costs_its_pieces_and_nothing_else(server: FaultServer, tmp_path: Path) -> None:
    file = version("A", 32 * MIB)
    server.mount(PATH, slowly(file, 4 * MIB))  # type: ignore[arg-type]  # a responder
    with WorkerPool(2, preload=PRELOAD, name="mortal", spare=False) as pool:
        async with Downloader(tmp_path / "out", options(), pool=pool) as downloader:
            task = asyncio.create_task(downloader.fetch(Wanted(server.url(PATH), "x", (sha256(file),))))
            for deaths in range(3):
                await bytes_sent(server, (6 + 6 * deaths) * MIB)
                os.kill(pool.pids[0], signal.SIGKILL)
            result = await task
    assert result.status == "verified"
    assert leftovers(tmp_path / "out") == []


async def test_a_rate_is_kept_by_all_workers_together(server: FaultServer, tmp_path: Path, pool: WorkerPool) -> None:
    """D124. What lies in buffers when the last byte was paid for is the error."""
    file = version("A", 12 * MIB)
    server.mount(PATH, lambda request: serve(request, file))
    async with Downloader(tmp_path / "out", options(rate_limit=6 * MIB), pool=pool) as downloader:
        result = await downloader.fetch(Wanted(server.url(PATH), "x", (sha256(file),)))
    assert result.status == "verified"
    assert 1.6 < result.seconds < 4.0


async def test_progress_is_told(server: FaultServer, downloader: Downloader) -> None:
    file = version("A", 16 * MIB)
    server.mount(PATH, slowly(file, 8 * MIB))  # type: ignore[arg-type]  # a responder
    seen: list[FileProgress] = []
    result = await downloader.fetch(Wanted(server.url(PATH), "x"), seen.append)
    assert result.status == "unverified"
    assert len(seen) > 3
    assert [each.written for each in seen] == sorted(each.written for each in seen)
    assert {each.size for each in seen} == {16 * MIB}
    assert seen[-1].path == "x"


async def test_a_server_that_hides_the_length_is_believed_at_its_end(
    server: FaultServer, downloader: Downloader
) -> None:
    from crawler.testing.messages import Framing

    file = replace(version("A", 9 * MIB), has_ranges=False)
    server.mount(PATH, lambda request: replace(serve(request, file), framing=Framing.CHUNKED))
    result = await downloader.fetch(Wanted(server.url(PATH), "x", (sha256(file),)))
    assert (result.status, result.size, result.segments) == ("verified", 9 * MIB, 1)


async def test_damage_is_repaired_with_no_more_than_its_bytes(
    server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    file = version("A", 24 * MIB)
    server.mount(PATH, lambda request: serve(request, file))
    assert (await downloader.fetch(Wanted(server.url(PATH), "x"))).status == "unverified"
    path = tmp_path / "out/x"
    receipt = load(tmp_path / "out/.crawlmill/receipts/x.json")
    assert isinstance(receipt, Receipt)
    with path.open("r+b") as damaged:
        damaged.seek(10 * MIB)
        damaged.write(b"\0" * 100)
    spans = [(first, end) for first, end, _ in receipt.pieces if first <= 10 * MIB < end]
    result = await downloader.repair(receipt, spans)
    assert result.fault is None, result
    assert result.fetched_bytes < sum(end - first for first, end in spans) + 64 * 1024
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest(file.body)


async def test_a_server_without_ranges_repairs_with_the_whole_file(
    server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    file = replace(version("A", 3 * MIB), has_ranges=False)
    server.mount(PATH, lambda request: serve(request, file))
    await downloader.fetch(Wanted(server.url(PATH), "x"))
    receipt = load(tmp_path / "out/.crawlmill/receipts/x.json")
    assert isinstance(receipt, Receipt)
    with (tmp_path / "out/x").open("r+b") as damaged:
        damaged.write(b"\0" * 100)
    result = await downloader.repair(receipt, [(0, 3 * MIB)])
    assert result.fault is None, result
    assert hashlib.sha256((tmp_path / "out/x").read_bytes()).hexdigest() == digest(file.body)


async def test_a_damaged_file_stays_when_the_server_has_another_one_now(
    server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    server.mount(PATH, lambda request: serve(request, version("A", 24 * MIB)))
    await downloader.fetch(Wanted(server.url(PATH), "x"))
    receipt = load(tmp_path / "out/.crawlmill/receipts/x.json")
    assert isinstance(receipt, Receipt)
    server.mount(PATH, lambda request: serve(request, version("B", 24 * MIB)))
    with (tmp_path / "out/x").open("r+b") as damaged:
        damaged.write(b"\0" * 100)
    result = await downloader.repair(receipt, [(0, MIB)])
    assert result.fault is Fault.CHANGED
    assert (tmp_path / "out/x").read_bytes()[:100] == b"\0" * 100


async def test_a_mirror_with_another_version_is_left_out(server: FaultServer, downloader: Downloader) -> None:
    """D37: of the same size, so that only its bytes tell, at the seams."""
    file = version("A", 24 * MIB)
    calls = 0

    def flaky(request: Request) -> Reply:
        nonlocal calls
        calls += 1
        return serve(request, file) if calls < 3 else Reply(503)

    server.mount(PATH, flaky)
    server.mount("/mirror", lambda request: serve(request, version("B", 24 * MIB)))
    wanted = Wanted(server.url(PATH), "x", (sha256(file),), mirrors=(server.url("/mirror"),))
    result: FileResult = await downloader.fetch(wanted)
    assert result.fault is not None
    assert result.status in ("failed", "mismatch")


async def test_of_a_file_of_unknown_length_nothing_is_left_that_nobody_can_use(
    server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    """It cannot be gone on with, and took the room of those that follow."""
    file = version("A", 8 * MIB)
    server.mount(PATH, lambda request: Reply(200, (), file.body, framing=Framing.CHUNKED, rate=MIB))
    task = asyncio.create_task(downloader.fetch(Wanted(server.url(PATH), "x")))
    await bytes_sent(server, MIB)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert leftovers(tmp_path / "out") == []
