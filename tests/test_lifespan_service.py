"""The example "lifespan_service.py" under a real server: quick while it computes, and gone without a trace."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.served import ROOT, environment

BELOW = 100_000
"""The primes below it take about a quarter of a second."""
COMPUTATIONS = 4
AT_ONCE = 2
EVERY_SECONDS = 0.005
CLEARLY = 3
"""How many times lower the latency must be; measured on two busy cores: 20 to 190 times."""


class Service:
    """The example in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", str(ROOT / "examples" / "lifespan_service.py"), "0"],
            cwd=folder,
            env=environment(folder),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log = ""
        self.url = ""
        self._started = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        if not self._started.wait(10) or not self.url:
            self.close(signal.SIGKILL)
            raise AssertionError(self.log)

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log += line
            if found := re.search(r"running on (http://\S+)", line):
                self.url = found[1]
                self._started.set()
        self._started.set()

    def workers(self) -> list[int]:
        """Return the processes it has started."""
        pid = self._process.pid
        return [
            int(child)
            for thread in Path(f"/proc/{pid}/task").iterdir()
            for child in (thread / "children").read_text().split()
        ]

    def close(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs, and wait for the end."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            self._process.wait(10)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join(5)
            assert self._process.stderr is not None
            self._process.stderr.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """The example, listening."""
    service = Service(tmp_path)
    yield service
    service.close(signal.SIGKILL)


async def latencies(session: aiohttp.ClientSession, path: str) -> list[float]:
    """Return the latencies of the quick endpoint in seconds, sorted, while `path` is asked to compute.

    Requests leave at fixed times, whether or not the last one was answered: a client that waits for a slow answer
    before it asks again would hardly notice the slowness (coordinated omission).
    """

    async def get(url: str) -> bytes:
        async with session.get(url) as answer:
            assert answer.status == 200
            return await answer.read()

    async def quick() -> float:
        began = time.monotonic()
        assert b"1229" in await get("/quick")
        return time.monotonic() - began

    async def compute() -> None:
        for _ in range(COMPUTATIONS // AT_ONCE):
            assert int(await get(path)) == 9592

    computing = asyncio.gather(*(compute() for _ in range(AT_ONCE)))
    asked: list[Awaitable[float]] = []
    while not computing.done():
        asked.append(asyncio.ensure_future(quick()))
        await asyncio.sleep(EVERY_SECONDS)
    await computing
    return sorted(await asyncio.gather(*asked))


def p99(sorted_values: list[float]) -> float:
    """Return the value below which 99 of 100 are."""
    return sorted_values[int(len(sorted_values) * 0.99)]


async def test_it_stays_quick_while_the_pool_computes(service: Service) -> None:
    """The same work in the pool and on the loop, in one run: only the ratio means anything on a busy machine."""
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        asyncio.timeout(15),
        aiohttp.ClientSession(service.url, connector=connector) as session,
    ):
        pool = await latencies(session, f"/primes/{BELOW}")
        loop = await latencies(session, f"/on-the-loop/{BELOW}")
    figures = f"p99 of {len(pool)} beside the pool {p99(pool):.4f} s, of {len(loop)} beside the loop {p99(loop):.4f} s"
    print(figures)
    assert min(len(pool), len(loop)) >= 20, figures
    assert p99(loop) >= CLEARLY * p99(pool), figures


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_ends_with_its_tasks_and_workers(
    service: Service, number: signal.Signals, until_gone: Callable[[list[int]], Awaitable[None]]
) -> None:
    async with aiohttp.ClientSession(service.url) as session, session.get("/tasks") as answer:
        assert await answer.json() == {"refresh": "running"}
    workers = service.workers()
    assert workers
    service.close(number)
    assert "Application shutdown complete." in service.log
    assert "Traceback" not in service.log
    await until_gone(workers)


@pytest.fixture
def until_gone() -> Callable[[list[int]], Awaitable[None]]:
    """Wait until none of some processes is left, for at most two seconds."""

    async def wait(pids: list[int]) -> None:
        async with asyncio.timeout(2):
            while any(Path(f"/proc/{pid}").exists() for pid in pids):  # noqa: ASYNC110, ASYNC240 - nothing tells it
                await asyncio.sleep(0.02)

    return wait
