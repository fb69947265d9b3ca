"""One order against a real server: what is told of it, what is on the disk afterwards, what the server was asked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawler.download.fault import Fault
from crawler.download.plan.seams import OVERLAP
from crawler.download.proof.checksum import checksum
from crawler.download.worker.attempt import Attempt
from crawler.download.worker.limiter import Limiter
from crawler.download.worker.wire import END_UNKNOWN, Ended, Fetch, Held, Landed, Progress, Report, Write
from crawler.fetch.options import FetchOptions
from crawler.fetch.stream import Streamer
from crawler.testing.faultserver import FaultServer
from crawler.testing.files import part, serve, version
from crawler.testing.messages import End, Framing, Reply, Request

SIZE = 300_000
FILE = version("A", SIZE)
DATA = FILE.body.read(0, SIZE)
PINNED = (SIZE, FILE.etag, None, None, False)


@pytest.fixture
async def streamer() -> AsyncIterator[Streamer]:
    async with Streamer(FetchOptions(allow_addresses=("127.0.0.0/8",), read_timeout=2.0)) as streamer:
        yield streamer


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "part", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, SIZE)
    yield fd
    os.close(fd)


class Told:
    """All that an attempt tells."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.held = asyncio.Event()

    def __call__(self, report: Report) -> None:
        """Take a report."""
        self.reports.append(report)
        if isinstance(report, Held):
            self.held.set()

    @property
    def ended(self) -> Ended:
        """The last word."""
        assert isinstance(self.reports[-1], Ended)
        return self.reports[-1]

    @property
    def landed(self) -> Landed | None:
        """What counts of the bytes, if any does."""
        return next((report for report in self.reports if isinstance(report, Landed)), None)


def order(server: FaultServer, first: int, end: int, **changes: Any) -> Fetch:
    """Return the order for a stretch of the file, as the parent gives it."""
    fetch = Fetch(1, 1, "part", server.url("/f"), first, end, min(OVERLAP, first), PINNED)
    return fetch._replace(**changes)


def attempted(fetch: Fetch, streamer: Streamer, fd: int, told: Told, rate: float = 0.0) -> Attempt:
    """Return the attempt, not begun."""
    return Attempt(fetch, streamer, Limiter(rate), lambda _file, _path: fd, told)


def written(fd: int) -> list[tuple[int, int]]:
    """Return where there is anything but zeros, to the block of 1,000 bytes."""
    data = os.pread(fd, 10 * SIZE, 0)
    return [(at, at + 1000) for at in range(0, len(data), 1000) if any(data[at : at + 1000])]


def lying(change: Callable[[Reply], Reply]) -> Callable[[Request], Reply]:
    """Return a server that is honest but for one thing."""
    return lambda request: change(serve(request, FILE))


@pytest.mark.parametrize("rate", [0.0, 1e9], ids=["poured", "paid for"])
async def test_a_part_lands_where_it_belongs_and_nowhere_else(
    rate: float, server: FaultServer, streamer: Streamer, fd: int
) -> None:
    """With the checksums of what is there: of all, of the overlap before it, of its last bytes."""
    server.mount("/f", lambda request: serve(request, FILE))
    told = Told()
    await attempted(order(server, 100_000, 200_000), streamer, fd, told, rate).run()
    ended = told.ended
    assert (ended.fault, ended.status, ended.upto, ended.received) == ("", 206, 200_000, 100_000 + OVERLAP)
    assert told.landed == Landed(
        1, 100_000, 200_000, checksum(DATA[100_000:200_000], 0), checksum(DATA[100_000 - OVERLAP : 100_000], 0),
        checksum(DATA[200_000 - OVERLAP : 200_000], 0),
    )  # fmt: skip
    assert os.pread(fd, 100_000, 100_000) == DATA[100_000:200_000]
    assert written(fd) == [(at, at + 1000) for at in range(100_000, 200_000, 1000)]


async def test_every_request_asks_for_the_bytes_as_they_are(server: FaultServer, streamer: Streamer, fd: int) -> None:
    """A compressed answer to a range is a slice of another file, and one to the whole hides its length."""
    server.mount("/f", lambda request: serve(request, FILE))
    for fetch in (order(server, 0, END_UNKNOWN, pinned=None), order(server, 0, 5000), order(server, 5000, SIZE)):
        await attempted(fetch, streamer, fd, Told()).run()
    assert [request.header("range") for request in server.requests] == [None, "bytes=0-4999", f"bytes=904-{SIZE - 1}"]
    for request in server.requests:
        named = [value for name, value in request.fields if name.lower() == "accept-encoding"]
        assert named == ["identity"]


@pytest.mark.parametrize("rate", [0.0, 1e9], ids=["poured", "paid for"])
@pytest.mark.parametrize("after", [End.CLOSE, End.RESET])
async def test_a_body_that_ends_early_counts_as_far_as_it_came(
    after: End, rate: float, server: FaultServer, streamer: Streamer, fd: int
) -> None:
    """Short of its Content-Length, which is a fault of its own: what came before is whole."""
    server.mount("/f", lying(lambda reply: replace(reply, cut=50_000, after=after)))
    told = Told()
    await attempted(order(server, 100_000, 200_000), streamer, fd, told, rate).run()
    assert told.ended.fault == (Fault.SHORT_BODY if after is End.CLOSE else Fault.DISCONNECTED)
    upto = told.ended.upto
    assert 100_000 < upto <= 100_000 + 50_000 - OVERLAP
    assert told.landed is not None
    assert (told.landed.end, told.landed.crc) == (upto, checksum(DATA[100_000:upto], 0))
    assert os.pread(fd, upto - 100_000, 100_000) == DATA[100_000:upto]


@pytest.mark.parametrize("rate", [0.0, 1e9], ids=["poured", "paid for"])
@pytest.mark.parametrize("is_held", [False, True])
async def test_a_body_shorter_than_its_range_is_short_whatever_its_framing_says(
    is_held: bool, rate: float, server: FaultServer, streamer: Streamer, fd: int
) -> None:
    """In chunks, with the last one: HTTP is content, Content-Range is not (SHORT_BODY)."""
    chunked = lying(lambda reply: replace(reply, framing=Framing.CHUNKED, end=reply.first + 50_000))
    server.mount("/f", chunked)
    told = Told()
    await attempted(order(server, 100_000, 200_000, is_held=is_held), streamer, fd, told, rate).run()
    assert told.ended.fault == Fault.SHORT_BODY
    assert told.ended.detail == f"50000 of {100_000 + OVERLAP} bytes"
    if is_held:
        assert (told.landed, written(fd)) == (None, [])
    else:
        assert told.ended.upto == 150_000 - OVERLAP


@pytest.mark.parametrize("rate", [0.0, 1e9], ids=["poured", "paid for"])
@pytest.mark.parametrize("is_held", [False, True])
async def test_a_body_longer_than_its_range_is_not_believed_at_all(
    is_held: bool, rate: float, server: FaultServer, streamer: Streamer, fd: int
) -> None:
    """In chunks nothing else tells its length (EXCESS_BODY): whoever miscounts may have begun anywhere.

    What is too much comes late, when all that was promised is there.
    """
    slices, slow = (100_000 + OVERLAP) // 8, 1e6
    chunked = lying(
        lambda reply: replace(
            reply, framing=Framing.CHUNKED, end=(reply.end or 0) + 10_000, slice_bytes=slices, rate=slow
        )
    )
    server.mount("/f", chunked)
    told = Told()
    await attempted(order(server, 100_000, 200_000, is_held=is_held), streamer, fd, told, rate).run()
    assert told.ended.fault == Fault.EXCESS_BODY
    assert (told.landed, told.ended.upto) == (None, END_UNKNOWN)
    assert [span for span in written(fd) if span[0] < 100_000 or span[1] > 200_000] == []


async def test_a_server_that_sends_larger_blocks_than_asked_is_no_liar(
    server: FaultServer, streamer: Streamer, fd: int
) -> None:
    """What it announces counts: no more than asked is written of it, and the rest is not waited for."""
    server.mount("/f", lambda request: part(FILE, request.first, SIZE))
    told = Told()
    await attempted(order(server, 100_000, 120_000), streamer, fd, told).run()
    assert (told.ended.fault, told.ended.upto) == ("", 120_000)
    assert written(fd)[-1] == (119_000, 120_000)


async def raced(streamer: Streamer, server: FaultServer, fd: int, word: Write, body: bytes | None = None) -> Told:
    """Fetch [100,000, 200,000) as a hedge whose rival has written as far as `word` says, with the bytes of `body`."""
    server.mount("/f", lambda request: serve(request, FILE))
    os.pwrite(fd, (body or DATA)[100_000 : word.first], 100_000)
    told = Told()
    attempt = attempted(order(server, 100_000, 200_000, is_held=True), streamer, fd, told)
    task = asyncio.create_task(attempt.run())
    await asyncio.wait_for(told.held.wait(), 5)
    assert written(fd) == [(at, at + 1000) for at in range(100_000, word.first, 1000)], "it wrote before it was told"
    assert not [report for report in told.reports if isinstance(report, Progress | Landed)]
    attempt.decide(word)
    await task
    return told


@pytest.mark.parametrize("known", [100_000, 130_000, 200_000])
async def test_a_hedge_writes_what_its_rival_had_not(
    known: int, server: FaultServer, streamer: Streamer, fd: int
) -> None:
    """And tells of its own bytes only: the rest is its rival's, with a checksum of the rival's."""
    told = await raced(streamer, server, fd, Write(1, True, known))
    assert os.pread(fd, 100_000, 100_000) == DATA[100_000:200_000]
    if known == 200_000:
        assert (told.ended.fault, told.landed) == (Fault.INTERRUPTED, None), "the server's part was none without a byte"
    else:
        assert told.ended.fault == ""
        assert told.landed is not None
        assert told.landed[1:4] == (known, 200_000, checksum(DATA[known:200_000], 0))


@pytest.mark.parametrize("where", [100_000, 115_000, 129_999])
async def test_d75_a_hedge_whose_rival_had_other_bytes_writes_nothing(
    where: int, server: FaultServer, streamer: Streamer, fd: int
) -> None:
    """One wrong bit among the bytes that both have: nobody knows which of the two is right."""
    theirs = bytearray(DATA)
    theirs[where] ^= 1
    told = await raced(streamer, server, fd, Write(1, True, 130_000), bytes(theirs))
    assert told.ended.fault == Fault.SEAM_MISMATCH
    assert (told.landed, told.ended.upto) == (None, END_UNKNOWN)
    assert written(fd)[-1] == (129_000, 130_000)


async def test_a_hedge_that_lost_leaves_no_byte(server: FaultServer, streamer: Streamer, fd: int) -> None:
    """Nor does it speak against the server: two parts without a byte would, and cost all connections but one."""
    told = await raced(streamer, server, fd, Write(1, False, 100_000))
    assert (told.landed, told.ended.upto, written(fd)) == (None, END_UNKNOWN, [])
    assert told.ended.fault == Fault.INTERRUPTED


async def test_d79_a_disk_that_takes_a_thousand_bytes_at_a_time(
    server: FaultServer, streamer: Streamer, fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patched: a kernel takes less only when the disk is about to be full, and then takes nothing the next time."""
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, memoryview(data)[:1000], at))
    server.mount("/f", lambda request: serve(request, FILE))
    told = Told()
    await attempted(order(server, 0, SIZE), streamer, fd, told).run()
    assert (told.ended.fault, told.ended.upto) == ("", SIZE)
    assert os.pread(fd, SIZE, 0) == DATA
