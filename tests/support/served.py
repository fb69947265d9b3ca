"""The demo site in a thread, for tests that run scripts and commands against it, and a `crawl` to put on their PATH."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crawler.demo.server import DemoServer
from crawler.demo.site import Demo

ROOT = Path(__file__).parents[2]

CONFIG = """\
[job]
seeds = ["{url}"]
out = "out"
[scope]
hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]
[fetch]
allow_addresses = ["127.0.0.0/8"]
retry_delay = "20ms"
[politeness]
per_host = 16
delay = "0s"
"""
"""A polite crawl of the demo site would take a minute."""


@contextmanager
def served(demo: Demo) -> Iterator[DemoServer]:
    """Serve `demo` at a free port while the block runs."""
    ready = threading.Event()
    found: list[tuple[DemoServer, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        try:
            async with DemoServer(demo) as server:
                found.append((server, asyncio.get_running_loop(), stop))
                ready.set()
                await stop.wait()
        finally:
            ready.set()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="demo")
    thread.start()
    try:
        ready.wait(10)
        assert found, "the demo site did not start"
        yield found[0][0]
    finally:
        for _, loop, stop in found:
            loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def write_config(folder: Path, url: str, name: str = "site.toml", out: str = "out") -> Path:
    """Write a config that crawls the demo site as fast as it can."""
    path = folder / name
    path.write_text(CONFIG.format(url=url).replace('out = "out"', f'out = "{out}"'))
    return path


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which `crawl` and `python` are those of this checkout; nothing else is inherited."""
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    crawl = bin_folder / "crawl"
    crawl.write_text(f'#!/bin/sh\nexec {sys.executable} -m crawler "$@"\n')
    crawl.chmod(0o755)
    return {"PATH": f"{bin_folder}:{Path(sys.executable).parent}:{os.defpath}", "PYTHONPATH": str(ROOT)}
