"""Crawls inside the test process: their configs, what they record, and what they must not leave behind."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from crawler.config import Config
from tests.support.crash_jobs import TABLES, Site

Tables = Mapping[str, Mapping[str, Any]]


def config_for(site: Site, out: Path, tables: Tables | None = None) -> Config:
    """Return the config of a crawl of `site` into `out`."""
    merged: dict[str, dict[str, Any]] = {
        "job": {"seeds": [site.url], "out": str(out)},
        "scope": {"hosts": list(site.demo.hosts_served)},
        "cpu": {"workers": 2},
    }
    for part in (TABLES, tables or {}):
        for name, table in part.items():
            merged.setdefault(name, {}).update(table)
    return Config(**merged)


def lines(out: Path, name: str = "pages") -> list[dict[str, Any]]:
    """Return an output, line by line; empty when there is none."""
    path = out / f"{name}.jsonl"
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def identity(out: Path) -> tuple[Counter[Any], Counter[Any], Counter[Any]]:
    """Return what two crawls of one site must have in common."""
    pages = Counter((line["url"], line["status"], line["sha256"], line["text_sha256"]) for line in lines(out))
    errors, skipped = (
        Counter((line["url"], line["reason"]) for line in lines(out, name)) for name in ("errors", "skipped")
    )
    return pages, errors, skipped


class Inline(Executor):
    """Runs what is submitted at once, in the caller: the fastest, and the least patient."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn` now."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as exc:  # noqa: BLE001 - belongs to the future
            future.set_exception(exc)
        return future


class Belongings:
    """Tasks, threads, child processes and descriptors of this process."""

    def __init__(self) -> None:
        self._before = self._now()

    def assert_same(self) -> None:
        """Assert that there is nothing more than when this was made, sockets included."""
        until = time.monotonic() + 1.0  # the kernel's own time for what has been closed
        while (now := self._now()) != self._before and time.monotonic() < until:
            time.sleep(0.01)
        assert now == self._before, f"{now} is left, there was {self._before}"

    def _now(self) -> tuple[set[str], set[str], set[int], int]:
        gc.collect()
        try:
            tasks = {task.get_name() for task in asyncio.all_tasks()}
        except RuntimeError:
            tasks = set()  # no loop runs
        # The loop's default executor (aiofiles, getaddrinfo) is the loop's; threads of run_blocking are everybody's.
        names = (thread.name for thread in threading.enumerate())
        threads = {name for name in names if not name.startswith(("asyncio_", "blocking-"))}
        children: set[int] = set()
        for path in Path("/proc/self/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
                children |= {int(pid) for pid in path.read_text().split()}
        return tasks, threads, children, len(list(Path("/proc/self/fd").iterdir()))
