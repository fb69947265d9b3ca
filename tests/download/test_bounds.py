"""D120, D121: what a download needs does not grow with the file, and many pieces are no other case than few."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from crawler.download.disk.disk import DISK
from crawler.download.disk.journal import Piece, Plain
from crawler.download.disk.journal_file import JournalFile
from crawler.download.disk.layout import places_of, prepare, prepare_target
from crawler.download.disk.receipt import Receipt, load
from crawler.download.downloader import Downloader
from crawler.download.plan.seams import OVERLAP
from crawler.download.proof.checksum import checksum
from crawler.download.proof.digests import parse_digest
from crawler.download.values import Wanted
from crawler.download.worker.terms import PRELOAD
from crawler.testing import FaultServer, Reply, Request, serve, version
from crawler.testing.bodies import digest
from crawler.testing.files import ServedFile, part
from crawler.testing.oracle import judge
from pipelines.pool.pool import WorkerPool
from tests.support.downloading import LIMIT_SECONDS, SPARE_BYTES, options
from tests.support.slow_disk import slow_down

MIB = 1024 * 1024
MANY_SECONDS = 240.0
"""For ten thousand requests, which take eight on an idle machine."""
IDENTITY: dict[str, Plain] = {
    "size": 0, "etag": '"version-a"', "weak": None, "last_modified": None, "is_date_strong": False,
}  # fmt: skip


def most_memory(pid: int) -> int:
    """Return the most bytes a process has had resident."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def forget_most_memory(pid: int) -> int:
    """Begin to measure anew; return what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5)
    return most_memory(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
async def test_d120_a_fast_network_and_a_slow_disk_fill_no_memory(tmp_path: Path) -> None:
    """96 MiB over loopback onto a disk of 60 MiB a second: what is not written is not received."""
    size = 96 * MIB
    file = version("A", size)
    with FaultServer() as server, WorkerPool(
        2, preload=PRELOAD, name="slow disk", spare=False, initializer=partial(slow_down, 30.0 * MIB)
    ) as pool:  # fmt: skip
        server.mount("/f", lambda request: serve(request, file))
        async with Downloader(tmp_path, options(4), pool=pool) as downloader:
            server.mount("/warm", lambda request: serve(request, version("A", 5 * MIB)))
            await downloader.fetch(Wanted(server.url("/warm"), "warm"))
            pids = (os.getpid(), *pool.pids)
            before = {pid: forget_most_memory(pid) for pid in pids}
            began = time.monotonic()
            result = await asyncio.wait_for(downloader.fetch(Wanted(server.url("/f"), "f")), LIMIT_SECONDS)
            seconds = time.monotonic() - began
            grown = [most_memory(pid) - before[pid] for pid in pids]
    assert result.fault is None, result
    assert seconds > 1.2, "the disk was not slow"
    assert max(grown[1:]) < 24 * MIB, "a worker kept what it could not write"
    assert grown[0] < 32 * MIB, "the parent, which is the server, too"


def left_in_pieces(root: Path, url: str, file: ServedFile, piece: int, every: int) -> int:
    """Leave what a killed run left that had all pieces but one of `every`; return how many it had."""
    size = file.body.size
    prepare(root)
    places = places_of(root, "f")
    prepare_target(places)
    journal = JournalFile.create(places, url=url, size=size, identity={**IDENTITY, "size": size}, durable=False)
    data = file.body.read(0, size)
    DISK.write_all(journal.fd, data, 0)
    count = 0
    for number, at in enumerate(range(0, size, piece)):
        end = min(at + piece, size)
        if number % every == every - 1:
            DISK.write_all(journal.fd, bytes(end - at), at)
            continue
        journal.landed(Piece(at, end, checksum(data[at:end], 0)))
        count += 1
    journal.commit()
    journal.close()
    return count


async def test_d121_a_journal_of_ten_thousand_pieces(tmp_path: Path, pool: WorkerPool) -> None:
    """Nearly all were there, with forty gaps between them: only the gaps are fetched, and all is told of at the end."""
    piece, every = 1000, 257
    file = version("A", 10_280 * piece)
    with FaultServer() as server:
        url = server.url("/f")
        server.mount("/f", lambda request: serve(request, file))
        there = left_in_pieces(tmp_path, url, file, piece, every)
        assert there > 10_000
        began = time.process_time()
        async with Downloader(tmp_path, options(8), pool=pool) as downloader:
            wanted = Wanted(url, "f", (parse_digest(f"sha256:{digest(file.body)}"),))
            result = await asyncio.wait_for(downloader.fetch(wanted), LIMIT_SECONDS)
        seconds = time.process_time() - began
        sent = server.sent
    assert result.status == "verified", result
    assert judge(tmp_path / "f", [file.body], says_success=True) == "right"
    assert result.resumed_bytes == there * piece
    assert sent < 40 * (piece + 4096) + SPARE_BYTES
    assert pieces_told_of(tmp_path, file.body.size)
    assert seconds < 5.0


def pieces_told_of(root: Path, size: int) -> int:
    """Return how many pieces the receipt tells of, which cover the file."""
    receipt = load(root / ".crawlmill/receipts/f.json")
    assert isinstance(receipt, Receipt)
    assert receipt.size == size
    spans = sorted((first, end) for first, end, _ in receipt.pieces)
    assert [first for first, _ in spans] == [0, *(end for _, end in spans[:-1])], "pieces that overlap, or gaps"
    assert spans[-1][1] == size
    return len(spans)


async def test_d121_ten_thousand_pieces_are_fetched(tmp_path: Path, pool: WorkerPool) -> None:
    """The least order is far larger, so it is the server that cuts: 1 KiB of what is missing for each request.

    Some 11 s of processor time for all processes together; the half of it in this one, which is the server, too, is
    what grows when the work for one piece depends on their number.
    """
    piece, count = 1024, 10_000
    file = version("A", count * piece)

    def respond(request: Request) -> Reply:
        assert request.number < 1.1 * count, "what came was asked for again"
        reply = serve(request, file)
        return part(file, reply.first, min(reply.end or file.body.size, reply.first + OVERLAP + piece))

    with FaultServer() as server:
        server.mount("/f", respond)
        began = time.process_time()
        async with Downloader(tmp_path, options(8), pool=pool) as downloader:
            wanted = Wanted(server.url("/f"), "f", (parse_digest(f"sha256:{digest(file.body)}"),))
            result = await asyncio.wait_for(downloader.fetch(wanted), MANY_SECONDS)
        seconds = time.process_time() - began
        requests = len(server.requests)
    assert result.status == "verified", result
    assert judge(tmp_path / "f", [file.body], says_success=True) == "right"
    assert requests > 0.99 * count
    assert pieces_told_of(tmp_path, file.body.size) > 0.99 * count
    assert seconds < 20.0
