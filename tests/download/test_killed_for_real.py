"""D86, D87, D91, D98, D99 with the whole downloader in processes of their own: killed at steps, and two at once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from crawler.download.disk import journal as records
from crawler.download.disk.receipt import Receipt, load
from crawler.download.downloader import Downloader
from crawler.download.fault import Fault
from crawler.download.values import FileResult, Wanted
from crawler.testing import FaultServer, Reply, Request, serve, version
from crawler.testing.bodies import Source
from crawler.testing.files import ServedFile
from crawler.testing.oracle import judge, strays
from pipelines.pool.pool import WorkerPool
from tests.support.downloading import LIMIT_SECONDS, options
from tests.support.power_loss import lose_power

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
SIZE = 5 * MIB + 77
FILE = version("A", SIZE)
SMALL = 4 * MIB + 300 * 1024
"""The first answer of a file, and so little more that it is recorded long before the rest is there."""
STEPS = (10, 20, 26, 31)
"""Calls of the disk: the making of the journal, several commits, the sync before the name, the name, the receipt."""


async def said(*arguments: str) -> tuple[int | None, str]:
    """Run Python; return the exit code and all it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode() + err.decode()


async def resumed(root: Path, server: FaultServer, pool: WorkerPool, file: ServedFile) -> FileResult:
    """Download what is missing; it is right, alone."""
    server.mount("/f", lambda request: serve(request, file))
    async with Downloader(root, options(3), pool=pool) as downloader:
        result = await asyncio.wait_for(downloader.fetch(Wanted(server.url("/f"), "f")), LIMIT_SECONDS)
    assert result.fault is None, (root, result)
    room = root / ".crawlmill"
    assert strays(root, [root / "f", room / "receipts", room / "locks"]) == []
    return result


def proved(root: Path) -> int:
    """Return how many bytes the journal that is left proves."""
    journals = [records.read(path.read_bytes()) for path in (root / ".crawlmill/parts").glob("*.journal")]
    assert len(journals) <= 1
    return sum(piece.end - piece.first for journal in journals for piece in journal.pieces)


async def test_d86_d87_killed_at_steps_of_the_disk_and_resumed_with_the_same_or_another_version(
    tmp_path: Path, pool: WorkerPool
) -> None:
    """What a journal proves is not fetched again, and of another version of the same size nothing is mixed in."""
    kept = []
    with FaultServer() as server:
        server.mount("/f", lambda request: replace(serve(request, FILE), rate=5.0 * MIB))
        command = ("-m", "tests.support.killed_downloader", server.url("/f"), str(tmp_path), *map(str, STEPS))
        code, text = await said(*command)
        assert code == 0, text
        ends = json.loads(text.splitlines()[0])
        assert set(ends) <= {-signal.SIGKILL, 0}, text
        assert ends.count(-signal.SIGKILL) >= 3, "too few calls of the disk to be killed at"
        for number, step in enumerate(STEPS):
            root = tmp_path / str(step)
            if (root / "f").exists():
                assert judge(root / "f", [FILE.body], says_success=True) == "right", "a name before its bytes"
                continue
            there = proved(root)
            kept.append(there)
            new = version("B", SIZE) if number == 2 else FILE
            result = await resumed(root, server, pool, new)
            assert judge(root / "f", [new.body], says_success=True) == "right"
            assert result.resumed_bytes == (there if new is FILE else 0)
    assert max(kept) >= 256 * 1024, "nothing had been recorded"
    assert len(set(kept)) >= 2, "all were killed at the same step"


POINTS = ("fdatasync:2", "fdatasync:3", "rename_new:1", "rename_new>sync_folder", "rename:2")
"""The sync of the first records, that of the data after them, the name, the sync of the name, the receipt's name."""


@pytest.mark.skipif(sys.platform != "linux", reason="files are read again from /proc")
async def test_d91_the_power_fails_and_only_what_was_synced_is_there(tmp_path: Path, pool: WorkerPool) -> None:
    """With real files and processes: what a journal proves outlives the power, and so does a name that was reported.

    The power is not really cut. Whatever came after the last sync of a file or a folder is taken away, which is the
    worst that a disk may do; the order of unsynced writes, and torn ones, are the model's in test_power_loss.py.
    """
    lost, kept = [], []
    with FaultServer() as server:
        server.mount("/f", lambda request: replace(serve(request, FILE), rate=5.0 * MIB))
        code, text = await said("-m", "tests.support.powerless_downloader", server.url("/f"), str(tmp_path), *POINTS)
        assert code == 0, text
        assert json.loads(text.splitlines()[0]) == [-signal.SIGKILL] * len(POINTS), text
        for number, point in enumerate(POINTS):
            root = tmp_path / str(number)
            lost.append(lose_power(root, tmp_path / f"{number}.certain"))
            has_name = (root / "f").exists()
            assert has_name is (point == "rename:2"), "only there the name had been synced"
            if has_name:
                assert judge(root / "f", [FILE.body], says_success=True) == "right", "a name before its bytes"
            kept.append(proved(root))
            result = await resumed(root, server, pool, FILE)
            assert judge(root / "f", [FILE.body], says_success=True) == "right"
            assert result.fetched_bytes == 0 if has_name else result.resumed_bytes == kept[-1], "a record of lost bytes"
    assert [bool(files) for files in lost[:4]] == [True, True, False, True], "what was not synced, and only that"
    assert kept[0] == 0 < kept[1] < SIZE
    assert min(kept[2:4]) > 0


async def test_d98_two_commands_for_one_target(tmp_path: Path, pool: WorkerPool) -> None:
    """Started together: one fetches, the other is told so or finds the file; nobody fetches it twice."""
    with FaultServer() as server:
        server.mount("/f", lambda request: replace(serve(request, FILE), rate=4.0 * MIB))
        command = ("-m", "crawler", "download", server.url("/f"), "-o", str(tmp_path / "f"), "--segments", "2")
        ends = await asyncio.gather(said(*command), said(*command))
        sent = server.sent
        codes = sorted(code or 0 for code, _ in ends)
        assert codes in ([0, 0], [0, 3]), ends
        assert all("locked" in text for code, text in ends if code == 3), ends
        assert judge(tmp_path / "f", [FILE.body], says_success=True) == "right"
        assert sent < 1.5 * SIZE
        await resumed(tmp_path, server, pool, FILE)


class Left(NamedTuple):
    """What a downloader of its own process said."""

    status: str
    fault: str | None
    resumed: int


async def unlocked(url: str, root: Path) -> Left:
    """Download where locks do not lock."""
    code, text = await said("-m", "tests.support.unlocked_downloader", url, str(root))
    assert code == 0, text
    return Left(*json.loads(text.splitlines()[0]))


async def recorded(root: Path) -> None:
    """Wait until the journal of a download that runs proves something."""
    until = time.monotonic() + LIMIT_SECONDS
    while not proved(root):
        assert time.monotonic() < until, "nothing was recorded"
        await asyncio.sleep(0.02)  # the journal is another process's: nobody tells when it grows


async def settled(server: FaultServer, root: Path, pool: WorkerPool, bodies: list[Source], *, may_refuse: bool) -> None:
    """Run once more, where locks lock: the file is there or is fetched, with a receipt of its bytes.

    A temporary file may stay, for a resume: of whoever came too late for the name. `may_refuse`: whoever was late may
    have written into the file that has the name, the same bytes again; such a file is right, and no longer as recorded.
    """
    room = root / ".crawlmill"
    receipt = load(room / "receipts/f.json")
    url = receipt.url if isinstance(receipt, Receipt) else server.url("/f")
    async with Downloader(root, options(2), pool=pool) as downloader:
        result = await asyncio.wait_for(downloader.fetch(Wanted(url, "f")), LIMIT_SECONDS)
    assert result.fault is None or (may_refuse and result.fault is Fault.EXISTS), result
    assert judge(root / "f", bodies, says_success=True) == "right"
    receipt = load(room / "receipts/f.json")
    assert isinstance(receipt, Receipt)
    assert receipt.digests["sha256"] == hashlib.sha256((root / "f").read_bytes()).hexdigest()
    assert strays(root, [root / "f", room / "receipts", room / "locks", room / "parts"]) == []


@pytest.mark.parametrize("second", ["same", "other", "at-once"])
async def test_d99_two_downloaders_where_locks_do_not_lock(second: str, tmp_path: Path, pool: WorkerPool) -> None:
    """The second goes on with the first's journal, or discards it, or both begin at once: nothing is ever mixed.

    Who says that it has the file has it, whole and of one version; who has not says so. The next run finds its way.
    """
    files = {"/f": version("A", SMALL), "/g": version("B", SMALL)}
    rate: float | None = 0.5 * MIB if second != "at-once" else None
    other = "/f" if second == "same" else "/g"
    bodies = [file.body for file in files.values()]
    with FaultServer() as server:

        def respond(request: Request) -> Reply:
            return replace(serve(request, files[request.path]), rate=rate)

        for path in files:
            server.mount(path, respond)
        first = asyncio.create_task(unlocked(server.url("/f"), tmp_path))
        if second != "at-once":
            await recorded(tmp_path)
            rate = None  # for whoever asks from now on
        ends = await asyncio.gather(first, unlocked(server.url(other), tmp_path))
        have = [end.status == "unverified" for end in ends]
        for end, has in zip(ends, have, strict=True):
            assert has or end.fault in ("disk", "exists"), ends
        assert judge(tmp_path / "f", bodies, says_success=any(have)) == ("right" if any(have) else "failed"), ends
        if second == "same":
            assert ends[1].resumed > 0, "they did not work on one journal"
        else:
            assert not all(have), "two files have one name"
        if second != "at-once":
            assert any(have), ends
        await settled(server, tmp_path, pool, bodies, may_refuse=second == "same")
