"""What a resume believes of what it finds, and that it fetches no byte of it again; what may be put together at all."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.download import Digest, Downloader, DownloadOptions, FileProgress, Wanted
from crawler.download.disk.journal import Piece, read
from crawler.download.disk.receipt import Receipt, load
from crawler.download.opening import FIRST_BYTES
from crawler.download.plan.seams import OVERLAP
from crawler.download.plan.spans import Spans
from crawler.fetch.options import FetchOptions
from crawler.testing.bodies import digest, flipped, zeroed
from crawler.testing.faultserver import FaultServer, Responder
from crawler.testing.files import A_DATE, ServedFile, serve, version
from crawler.testing.messages import End, Exchange, Reply, Request
from crawler.testing.oracle import judge
from pipelines.pool.pool import WorkerPool

MIB = 1 << 20
PATH = "/data.bin"
SIZE, THERE = 16 * MIB, 8 * MIB
FILE = version("A", SIZE)
OPTIONS = DownloadOptions(
    segments=4, retries=3, retry_delay=0.02, retry_delay_max=0.1, is_durable=False, sync_seconds=0.1,
    fetch=FetchOptions(allow_addresses=("127.0.0.0/8",), read_timeout=20.0),
)  # fmt: skip
LIMIT_SECONDS = 30.0


@pytest.fixture
async def downloader(tmp_path: Path, pool: WorkerPool) -> AsyncIterator[Downloader]:
    async with Downloader(tmp_path, OPTIONS, pool=pool) as downloader:
        yield downloader


def honest(file: ServedFile) -> Responder:
    return lambda request: serve(request, file)


def until(stop: int, file: ServedFile) -> Responder:
    """Serve no byte from `stop` on, and say nothing of it: the connection just stands."""

    def answer(request: Request) -> Reply:
        reply = serve(request, file)
        if reply.first + reply.length <= stop:
            return reply
        return replace(reply, cut=max(0, stop - reply.first), after=End.HANG)

    return answer


def journalled(root: Path) -> tuple[Piece, ...]:
    """Return what the journal of the one target has."""
    return next((read(path.read_bytes()).pieces for path in (root / ".crawlmill/parts").glob("*.journal")), ())


def part_of(root: Path) -> Path:
    (part,) = (root / ".crawlmill/parts").glob("*.part")
    return part


async def wait_for(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.02)


async def begun(
    downloader: Downloader, root: Path, server: FaultServer, file: ServedFile, wanted: Wanted
) -> tuple[Piece, ...]:
    """Fetch the first half of a file, cancel that, and return what the journal knows."""
    server.mount(PATH, until(THERE, file))
    half = file.body.read(0, THERE)
    task = asyncio.create_task(downloader.fetch(wanted))

    def is_there() -> bool:
        parts = list((root / ".crawlmill/parts").glob("*.part"))
        return bool(parts) and parts[0].read_bytes()[:THERE] == half

    await wait_for(is_there)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.forget()
    return journalled(root)


def again(exchanges: list[Exchange], known: Spans) -> int:
    """Return how many known bytes were sent once more."""
    return sum(known.count(each.request.first, each.request.first + each.sent) for each in exchanges)


async def test_a_resume_fetches_nothing_that_the_journal_knew(
    server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    """But the few bytes before each request that are compared."""
    wanted = Wanted(server.url(PATH), "x")
    known = Spans((piece.first, piece.end) for piece in await begun(downloader, tmp_path, server, FILE, wanted))
    assert list(known) == [(0, THERE)], "all that came is in the journal"
    server.mount(PATH, honest(FILE))
    result = await downloader.fetch(wanted)
    assert (result.status, result.resumed_bytes) == ("unverified", THERE), result
    assert judge(tmp_path / "x", [FILE.body], says_success=True) == "right"
    assert again(server.exchanges, known) <= OVERLAP * len(server.exchanges)


async def started(command: list[str]) -> asyncio.subprocess.Process:
    """Start a command in a process group of its own, so that nothing of it outlives a kill."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, start_new_session=True)


async def test_after_a_kill_nothing_is_fetched_that_the_journal_knew(server: FaultServer, tmp_path: Path) -> None:
    """SIGKILL to the command and all its processes; then the same command."""
    command = [sys.executable, "-m", "crawler", "download", "--plain", server.url(PATH), "-o", str(tmp_path / "x"),
               "--segments", "4"]  # fmt: skip
    server.mount(PATH, until(THERE, FILE))
    process = await started(command)
    try:
        await wait_for(lambda: sum(each.end - each.first for each in journalled(tmp_path)) >= THERE // 2)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()
    known = Spans((piece.first, piece.end) for piece in journalled(tmp_path))
    assert known.total >= THERE // 2
    server.forget()
    server.mount(PATH, honest(FILE))
    process = await started(command)
    said = await asyncio.wait_for(process.communicate(), LIMIT_SECONDS)
    assert process.returncode == 0, said
    assert judge(tmp_path / "x", [FILE.body], says_success=True) == "right"
    receipt = load(tmp_path / ".crawlmill/receipts/x.json")
    assert isinstance(receipt, Receipt)
    assert receipt.resumed_bytes == known.total
    assert again(server.exchanges, known) <= OVERLAP * len(server.exchanges)


async def test_a_resume_reads_what_the_journal_knows_once_more(
    server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    """One bit on the disk is another one by now, and nobody knows the digest: its piece alone is fetched again."""
    wanted = Wanted(server.url(PATH), "x")
    pieces = await begun(downloader, tmp_path, server, FILE, wanted)
    broken = next(piece for piece in pieces if piece.first <= 3 * MIB < piece.end)
    fd = os.open(part_of(tmp_path), os.O_WRONLY)
    os.pwrite(fd, flipped(FILE.body, 3 * MIB).read(3 * MIB, 3 * MIB + 1), 3 * MIB)
    os.close(fd)
    server.mount(PATH, honest(FILE))
    result = await downloader.fetch(wanted)
    assert result.resumed_bytes == THERE - (broken.end - broken.first), result
    assert judge(tmp_path / "x", [FILE.body], says_success=True) == "right"
    assert result.digests == {"sha256": digest(FILE.body)}


async def test_a_repair_reads_what_the_receipt_calls_good_once_more(
    server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    """Of two damaged pieces only one was told of: the other is found on the way, not by beginning again."""
    server.mount(PATH, honest(FILE))
    assert (await downloader.fetch(Wanted(server.url(PATH), "x"))).fault is None
    receipt = load(tmp_path / ".crawlmill/receipts/x.json")
    assert isinstance(receipt, Receipt)
    spans = [next((first, end) for first, end, _ in receipt.pieces if first <= at < end) for at in (MIB, 14 * MIB)]
    assert spans[0] != spans[1]
    with (tmp_path / "x").open("r+b") as damaged:
        for at in (MIB, 14 * MIB):
            damaged.seek(at)
            damaged.write(b"\0" * 100)
    result = await downloader.repair(receipt, spans[:1])
    assert result.fault is None, result
    assert result.resumed_bytes == SIZE - sum(end - first for first, end in spans)
    assert judge(tmp_path / "x", [FILE.body], says_success=True) == "right"


NOTHING, SAME_SECOND = "nothing at all", "a date of the very second"
WEAK = {
    "a weak tag": replace(FILE, etag='W/"a"', last_modified=None),
    "a weak tag and a bare date": replace(FILE, etag='W/"a"'),
    "a bare date": replace(FILE, etag=None),
    SAME_SECOND: replace(FILE, etag=None, fields=(("Date", A_DATE),)),
    NOTHING: replace(FILE, etag=None, last_modified=None),
}
STRONG = {
    "a strong tag": replace(FILE, last_modified=None),
    "a date long gone": replace(FILE, etag=None, fields=(("Date", "Sat, 01 Nov 2025 10:00:01 GMT"),)),
    "a weak tag and a date long gone": replace(FILE, etag='W/"a"', fields=(("Date", "Sat, 01 Nov 2025 10:00:01 GMT"),)),
}


@pytest.mark.parametrize("name", WEAK)
async def test_what_a_weak_validator_names_is_not_gone_on_with(
    name: str, server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    """It may name other bytes by now, which no border of two parts shows."""
    wanted, old = Wanted(server.url(PATH), "x"), WEAK[name]
    assert await begun(downloader, tmp_path, server, old, wanted) != ()
    new = replace(old, body=flipped(old.body, MIB))
    server.mount(PATH, honest(new))
    result = await downloader.fetch(wanted)
    assert (result.fault, result.resumed_bytes) == (None, 0), result
    assert judge(tmp_path / "x", [new.body], says_success=True) == "right"


@pytest.mark.parametrize("name", WEAK)
async def test_parts_of_what_only_a_weak_validator_names_are_not_joined(
    name: str, server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    """The file changes behind the first answer, before and behind where that ends: one version has to be all of it."""
    old = WEAK[name]
    new = replace(old, body=flipped(flipped(old.body, MIB), 9 * MIB))
    server.mount(PATH, lambda request: serve(request, old if request.number == 1 else new))
    result = await downloader.fetch(Wanted(server.url(PATH), "x"))
    assert (result.fault, result.segments) == (None, 1), result
    assert judge(tmp_path / "x", [old.body, new.body], says_success=True) == "right"


@pytest.mark.parametrize("name", [*STRONG, *WEAK])
async def test_a_strong_validator_or_a_digest_lets_a_resume_go_on(
    name: str, server: FaultServer, downloader: Downloader, tmp_path: Path
) -> None:
    file = STRONG.get(name) or WEAK[name]
    digests = () if name in STRONG else (Digest("sha256", bytes.fromhex(digest(file.body))),)
    wanted = Wanted(server.url(PATH), "x", digests)
    await begun(downloader, tmp_path, server, file, wanted)
    server.mount(PATH, honest(file))
    result = await downloader.fetch(wanted)
    assert (result.fault, result.resumed_bytes) == (None, THERE), result
    assert judge(tmp_path / "x", [file.body], says_success=True) == "right"


async def test_after_a_wrong_seam_the_hash_begins_again(server: FaultServer, tmp_path: Path, pool: WorkerPool) -> None:
    """The first part is wrong and was hashed before the second one shows it; nobody knows the digest."""
    wrong = zeroed(FILE.body, 0, SIZE)
    seen: list[FileProgress] = []
    hashed: list[int] = []

    def answer(request: Request) -> Reply:
        reply = serve(request, FILE)
        if request.number == 1:
            return replace(reply, source=wrong)
        if request.number == 2:
            return replace(reply, delay=0.5, rate=4.0 * MIB)  # time for the hash to follow, and to be seen doing so
        hashed.append(max(each.hashed for each in seen))
        return reply

    server.mount(PATH, answer)
    async with Downloader(tmp_path, replace(OPTIONS, segments=1), pool=pool) as downloader:
        result = await downloader.fetch(Wanted(server.url(PATH), "x"), seen.append)
    assert hashed[0] > 0, "nothing wrong was hashed before the first part was fetched again"
    assert [request.first for request in server.requests[:3]] == [0, FIRST_BYTES - OVERLAP, 0]
    assert judge(tmp_path / "x", [FILE.body], says_success=True) == "right"
    assert result.digests == {"sha256": digest(FILE.body)}
