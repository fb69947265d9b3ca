"""D93 to D96, D102, D103, D119: stopped downloads, lost processes, where they may be run, and by what clock."""

from __future__ import annotations

import ast
import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.download.downloader import Downloader, download
from crawler.download.fault import Fault
from crawler.download.values import Wanted
from crawler.download.worker.terms import PRELOAD
from crawler.testing import FaultServer, Reply, Request, serve, version
from crawler.testing.oracle import judge, strays
from pipelines.pool.pool import WorkerPool
from tests.support.downloading import LIMIT_SECONDS, SPARE_BYTES, options

SIZE = 12 * 1024 * 1024 + 1
FILE = version("A", SIZE)


def slowly(request: Request) -> Reply:
    """Answer at 2 MB a second for each connection."""
    return replace(serve(request, FILE), rate=2e6)


async def sent(server: FaultServer, share: float) -> None:
    """Wait until a share of the file has been sent."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while server.sent < SIZE * share:  # noqa: ASYNC110 - the server counts in another thread
            await asyncio.sleep(0.01)


async def finish(root: Path, server: FaultServer, pool: WorkerPool | None) -> int:
    """Download what is missing at full speed; return how many bytes were sent for it."""
    server.mount("/f", lambda request: serve(request, FILE))
    before = server.sent
    async with Downloader(root, options(4), pool=pool) as downloader:
        result = await asyncio.wait_for(downloader.fetch(Wanted(server.url("/f"), "f")), LIMIT_SECONDS)
    assert result.fault is None, result
    assert judge(root / "f", [FILE.body], says_success=True) == "right"
    room = root / ".crawlmill"
    assert strays(root, [root / "f", room / "receipts", room / "locks"]) == []
    assert server.sent - before <= SIZE - result.resumed_bytes + SPARE_BYTES
    return server.sent - before


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.5, 0.8, 0.99])
async def test_d94_cancelled_anywhere_leaves_no_name_and_can_be_resumed(
    share: float, tmp_path: Path, pool: WorkerPool
) -> None:
    with FaultServer() as server:
        server.mount("/f", slowly)
        async with Downloader(tmp_path, options(4), pool=pool) as downloader:
            task = asyncio.create_task(downloader.fetch(Wanted(server.url("/f"), "f")))
            await sent(server, share)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not (tmp_path / "f").exists()
        assert await finish(tmp_path, server, pool) <= SIZE + SPARE_BYTES


async def test_d94_a_download_that_is_cancelled_leaves_the_others_alone(tmp_path: Path, pool: WorkerPool) -> None:
    with FaultServer() as server:
        server.mount("/f", slowly)
        server.mount("/g", slowly)
        async with Downloader(tmp_path, options(2), pool=pool) as downloader:
            first = asyncio.create_task(downloader.fetch(Wanted(server.url("/f"), "f")))
            second = asyncio.create_task(downloader.fetch(Wanted(server.url("/g"), "g")))
            await sent(server, 0.3)
            first.cancel()
            result = await asyncio.wait_for(second, LIMIT_SECONDS)
    assert result.fault is None, result
    assert judge(tmp_path / "g", [FILE.body], says_success=True) == "right"
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
async def test_d95_d96_a_worker_that_dies_costs_its_pieces_and_no_more(share: float, tmp_path: Path) -> None:
    """SIGKILL to one of two workers, which fetches and hashes: the file is right, or the failure says why."""
    with (
        FaultServer() as server,
        WorkerPool(2, preload=PRELOAD, name="download", spare=False) as pool,
    ):
        server.mount("/f", slowly)
        async with Downloader(tmp_path, options(4), pool=pool) as downloader:
            task = asyncio.create_task(downloader.fetch(Wanted(server.url("/f"), "f")))
            await sent(server, share)
            os.kill(pool.pids[0], signal.SIGKILL)
            result = await asyncio.wait_for(task, LIMIT_SECONDS)
        if result.fault is not None:
            assert result.fault is Fault.WORKER_LOST, result
            assert not (tmp_path / "f").exists()
            await finish(tmp_path, server, None)
        assert judge(tmp_path / "f", [FILE.body], says_success=True) == "right"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_d93_a_signal_to_the_command_leaves_a_download_that_can_be_resumed(
    number: signal.Signals, tmp_path: Path, pool: WorkerPool
) -> None:
    with FaultServer() as server:
        server.mount("/f", slowly)
        command = [sys.executable, "-m", "crawler", "download", server.url("/f"), "-o", str(tmp_path / "f"),
                   "--segments", "4", "--allow-address", "127.0.0.0/8"]  # fmt: skip
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        try:
            await sent(server, 0.5)
            process.send_signal(number)
            said = await asyncio.wait_for(process.communicate(), 20)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 128 + number, said
        assert not (tmp_path / "f").exists()
        again = await finish(tmp_path, server, pool)
        assert again < SIZE * 0.75, "what had landed was fetched again"


async def test_d103_in_a_running_loop_and_beside_another_one(tmp_path: Path) -> None:
    """Two event loops in two threads download at the same time, each with workers of its own."""
    with FaultServer() as server:
        server.mount("/f", lambda request: serve(request, FILE))
        faults: list[Fault | None] = []

        def other() -> None:
            result = asyncio.run(download(server.url("/f"), tmp_path / "other", options=options(2)))
            faults.append(result.fault)

        thread = threading.Thread(target=other)
        thread.start()
        result = await download(server.url("/f"), tmp_path / "mine", options=options(2))
        await asyncio.to_thread(thread.join, LIMIT_SECONDS)
    assert [result.fault, *faults] == [None, None]
    for name in ("mine", "other"):
        assert judge(tmp_path / name, [FILE.body], says_success=True) == "right"


def test_d103_one_asyncio_run_after_the_other(tmp_path: Path) -> None:
    with FaultServer() as server:
        server.mount("/f", lambda request: serve(request, FILE))
        for name in ("one", "two"):
            result = asyncio.run(download(server.url("/f"), tmp_path / name, options=options(2)))
            assert result.fault is None, result
            assert judge(tmp_path / name, [FILE.body], says_success=True) == "right"


_SPAWNED = """
import asyncio, multiprocessing, sys
from pathlib import Path
from tests.support.downloading import options
from crawler.download.downloader import download

def work(url, path):
    result = asyncio.run(download(url, path, options=options(2)))
    sys.exit(0 if result.fault is None else 1)

async def main(method, url, path):
    child = multiprocessing.get_context(method).Process(target=work, args=(url, path))
    child.start()
    while child.is_alive():
        await asyncio.sleep(0.05)
    sys.exit(child.exitcode)

if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_d102_in_a_child_process_of_either_kind(method: str, tmp_path: Path) -> None:
    """Forked from a process whose loop runs, or spawned: the child downloads with a loop and workers of its own."""
    script = tmp_path / "child.py"
    script.write_text(_SPAWNED)
    with FaultServer() as server:
        server.mount("/f", lambda request: serve(request, FILE))
        env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore::DeprecationWarning"}
        done = subprocess.run(
            [sys.executable, str(script), method, server.url("/f"), str(tmp_path / "f")],
            env=env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert judge(tmp_path / "f", [FILE.body], says_success=True) == "right"


async def test_d119_a_clock_that_jumps_changes_nothing(
    tmp_path: Path, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wall clock leaps by years in both directions at each look; waits and rates use the one that cannot."""
    leaps = iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: 1e9 if next(leaps) % 2 else 4e9)
    with FaultServer() as server:
        server.mount("/f", lambda request: replace(serve(request, FILE), rate=8e6))
        async with Downloader(tmp_path, options(4), pool=pool) as downloader:
            result = await asyncio.wait_for(downloader.fetch(Wanted(server.url("/f"), "f")), LIMIT_SECONDS)
    assert result.fault is None, result
    assert judge(tmp_path / "f", [FILE.body], says_success=True) == "right"


CALENDAR = {
    "attempt.py": "a Retry-After may be a date (RFC 9110 10.2.3); how long is waited at most is bounded",
    "journal_file.py": "the lock says since when it is held",
    "report.py": "the receipt says when it was done",
    "solo.py": "as report.py",
}


def test_d119_no_decision_of_a_download_reads_the_wall_clock() -> None:
    """Workers cannot be given another clock from here, so this looks at what they run. Dates stand in records only."""
    readers = set()
    for path in (Path(__file__).parents[2] / "crawler" / "download").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                name = f"{node.value.id}.{node.attr}"
                if name in ("time.time", "datetime.now", "datetime.utcnow", "time.gmtime", "time.localtime"):
                    readers.add(path.name)
    assert readers <= set(CALENDAR), "what is it for?"
