"""Watches a running crawl for a person: chooses how to show it, and looks at it a few times a second."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import Enum
from math import inf

from crawler.config import Config
from crawler.engine.crawl import Crawl
from crawler.progress.frame import Frame
from crawler.progress.memory import resident_bytes, resident_bytes_of_all
from crawler.progress.output import Output, has_terminal
from crawler.progress.pace import Pace
from crawler.progress.screen import Lines, Screen, View

LOOK_SECONDS = 0.33
"""Between two frames of the live view."""
PLAIN_LOOK_SECONDS = 1.0
"""Between two looks where only lines are written, for "now" to mean the last seconds there too."""


class Style(Enum):
    """How a running crawl is shown."""

    QUIET = "quiet"
    PLAIN = "plain"
    LIVE = "live"


def choose(fd: int, environ: Mapping[str, str], *, quiet: bool, plain: bool) -> Style:
    """Choose for the descriptor that progress goes to."""
    if quiet:
        return Style.QUIET
    return Style.LIVE if not plain and has_terminal(fd, environ.get("TERM", "")) else Style.PLAIN


def screen_for(style: Style, output: Output) -> Screen:
    """Return the screen, not started yet, that writes in this style."""

    def live() -> View:
        from crawler.progress.live import LiveView  # 80 ms: in the screen's thread, and never for a short crawl

        return LiveView(output)

    return Screen(live if style is Style.LIVE else lambda: Lines(output))


@asynccontextmanager
async def watched(crawl: Crawl, config: Config, screen: Screen, style: Style) -> AsyncIterator[None]:
    """Show the crawl on `screen` while the block runs."""
    if style is Style.QUIET:
        yield
        return
    task = asyncio.create_task(_watch(crawl, config, screen, style), name="crawlmill-watch")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _watch(crawl: Crawl, config: Config, screen: Screen, style: Style) -> None:
    is_live = style is Style.LIVE
    every = 0.0 if is_live else config.report.interval
    pace = Pace(config.job.max_pages, config.job.max_time)
    due = every
    while True:
        await asyncio.sleep(LOOK_SECONDS if is_live else min(PLAIN_LOOK_SECONDS, every))
        snapshot = crawl.snapshot()
        if snapshot is None:  # the state is still being opened
            continue
        pace.add(snapshot)
        if snapshot.seconds < due:
            continue
        due = max(due + every, snapshot.seconds) if every else -inf
        pages, wire_bytes = pace.now()
        frame = Frame(
            snapshot=snapshot,
            pages_per_second=pages,
            bytes_per_second=wire_bytes,
            left=pace.left(),
            own_bytes=resident_bytes(os.getpid()),
            workers_bytes=resident_bytes_of_all(snapshot.worker_pids),
        )
        screen.show(frame)
