"""What only shows when all bytes are there, or is announced only then: no wrong file may pass."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from base64 import b64encode
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from crawler.download import Digest, Downloader, DownloadOptions, Fault, FileResult, Wanted
from crawler.download.proof.metalink import Pieces
from crawler.fetch.options import FetchOptions
from crawler.testing.bodies import chunks, digest, flipped
from crawler.testing.faultserver import FaultServer
from crawler.testing.files import ServedFile, part, serve, version
from crawler.testing.messages import Reply, Request
from pipelines.pool.pool import WorkerPool
from tests.support.waiting import LIMIT_SECONDS, bytes_sent

MIB = 1 << 20
PATH = "/data.bin"
OPTIONS = DownloadOptions(
    segments=4, retries=3, retry_delay=0.02, retry_delay_max=0.1, sync_seconds=0.1,
    fetch=FetchOptions(allow_addresses=("127.0.0.0/8",), read_timeout=2.0),
)  # fmt: skip


async def fetched(
    root: Path,
    pool: WorkerPool,
    wanted: Wanted,
    *,
    cut: Awaitable[None] | None = None,
    options: DownloadOptions = OPTIONS,
) -> FileResult:
    """Fetch one file; with `cut`, cancel it when that is over and fetch it again."""
    async with Downloader(root, options, pool=pool) as downloader:
        if cut is not None:
            task = asyncio.create_task(downloader.fetch(wanted))
            await cut
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with asyncio.timeout(30):
            return await downloader.fetch(wanted)


def everything(file: ServedFile) -> bytes:
    """Return all bytes of a file."""
    return b"".join(chunks(file.body))


def with_md5(file: ServedFile, of: ServedFile) -> ServedFile:
    """Let the answers say what the MD5 of another file is."""
    value = b64encode(bytes.fromhex(digest(of.body, "md5"))).decode()
    return replace(file, fields=(("x-goog-hash", f"md5={value}"),))


class TestAnnouncedLate:
    """A resume begins to hash before any answer says what it must hash to."""

    async def test_a_wrong_file_is_found_after_a_resume_too(
        self, server: FaultServer, tmp_path: Path, pool: WorkerPool
    ) -> None:
        right = version("A", 12 * MIB + 5)
        wrong = with_md5(replace(right, body=flipped(right.body, 11 * MIB)), right)
        server.mount(PATH, lambda request: replace(serve(request, wrong), rate=MIB))
        result = await fetched(tmp_path, pool, Wanted(server.url(PATH), "x"), cut=bytes_sent(server, 5 * MIB))
        assert (result.status, result.fault) == ("mismatch", Fault.DIGEST_MISMATCH), result
        assert not (tmp_path / "x").exists()

    async def test_a_right_file_is_verified_after_a_resume_too(
        self, server: FaultServer, tmp_path: Path, pool: WorkerPool
    ) -> None:
        file = with_md5(version("A", 12 * MIB + 5), version("A", 12 * MIB + 5))
        server.mount(PATH, lambda request: replace(serve(request, file), rate=2 * MIB))
        result = await fetched(tmp_path, pool, Wanted(server.url(PATH), "x"), cut=bytes_sent(server, 8 * MIB))
        assert (result.status, result.digests["md5"]) == ("verified", digest(file.body, "md5")), result
        assert result.resumed_bytes > 0


@pytest.mark.parametrize("most", [2048, 4096, 5000])
@pytest.mark.parametrize("etag", [None, '"x"'])
async def test_parts_too_short_to_be_compared_are_not_joined(
    most: int, etag: str | None, server: FaultServer, tmp_path: Path, pool: WorkerPool
) -> None:
    """The file changes in its middle under the same tag; only the overlap of two parts can tell."""
    old, new = (replace(version(which, 2 * MIB), etag=etag, last_modified=None) for which in ("A", "B"))

    def answer(request: Request) -> Reply:
        file = new if request.first > MIB // 2 else old
        reply = serve(request, file)
        return part(file, reply.first, min(reply.end or 2 * MIB, reply.first + most)) if reply.status == 206 else reply

    server.mount(PATH, answer)
    result = await fetched(tmp_path, pool, Wanted(server.url(PATH), "x"))
    assert result.fault is None, result
    assert (tmp_path / "x").read_bytes() == everything(old)
    assert most > 4096 or result.retries <= OPTIONS.segments, "one look at each connection, then one stream"


async def test_a_file_that_was_cut_behind_our_back_has_no_hole(
    server: FaultServer, tmp_path: Path, pool: WorkerPool
) -> None:
    file = replace(version("A", 12 * MIB + 5))
    server.mount(PATH, lambda request: replace(serve(request, file), rate=MIB))

    def cut() -> None:
        until = time.monotonic() + LIMIT_SECONDS
        while server.sent < 5 * MIB and time.monotonic() < until:
            time.sleep(0.01)
        for path in (tmp_path / ".crawlmill/parts").glob("*.part"):
            os.truncate(path, 300_000)

    thread = Thread(target=cut)
    thread.start()
    result = await fetched(tmp_path, pool, Wanted(server.url(PATH), "x"))
    thread.join()
    assert result.fault is Fault.DISK, result
    assert not (tmp_path / "x").exists()
    server.mount(PATH, lambda request: serve(request, file))
    result = await fetched(tmp_path, pool, Wanted(server.url(PATH), "x"))
    assert result.fault is None
    assert (tmp_path / "x").read_bytes() == everything(file)


async def test_what_must_be_proven_is_not_there_already_unproven(
    server: FaultServer, tmp_path: Path, pool: WorkerPool
) -> None:
    file = version("A", MIB)
    server.mount(PATH, lambda request: serve(request, file))
    wanted = Wanted(server.url(PATH), "x")
    assert (await fetched(tmp_path, pool, wanted)).status == "unverified"
    assert (await fetched(tmp_path, pool, wanted)).status == "unverified"
    result = await fetched(tmp_path, pool, wanted, options=replace(OPTIONS, require_digest=True))
    assert result.fault is Fault.EXISTS
    assert (tmp_path / "x").read_bytes() == everything(file)


class TestPieces:
    """A manifest may know the pieces of a file and not the whole."""

    @pytest.mark.parametrize("size", [MIB // 2, 5 * MIB + 7])
    @pytest.mark.parametrize("is_wrong", [False, True])
    async def test_a_wrong_one_is_found(
        self, size: int, is_wrong: bool, server: FaultServer, tmp_path: Path, pool: WorkerPool
    ) -> None:
        right, length = version("A", size), 256 * 1024
        served = replace(right, body=flipped(right.body, size - 9)) if is_wrong else right
        server.mount(PATH, lambda request: serve(request, served))
        data = everything(right)
        digests = (hashlib.sha1(data[at : at + length]).digest() for at in range(0, size, length))
        pieces = Pieces(length, tuple(Digest("sha1", value) for value in digests))
        result = await fetched(tmp_path, pool, Wanted(server.url(PATH), "x", pieces=pieces))
        assert result.status == ("mismatch" if is_wrong else "unverified"), result
        assert (tmp_path / "x").exists() is not is_wrong
        assert ("piece" in result.detail) is is_wrong
