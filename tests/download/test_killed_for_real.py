"""D86, D87, D98 with the whole downloader in processes of their own: killed at steps of its disk, and two at once."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from dataclasses import replace
from pathlib import Path

from crawler.download.disk import journal as records
from crawler.download.downloader import Downloader
from crawler.download.values import FileResult, Wanted
from crawler.testing import FaultServer, serve, version
from crawler.testing.files import ServedFile
from crawler.testing.oracle import judge, strays
from pipelines.pool.pool import WorkerPool
from tests.support.downloading import LIMIT_SECONDS, options

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
SIZE = 5 * MIB + 77
FILE = version("A", SIZE)
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
