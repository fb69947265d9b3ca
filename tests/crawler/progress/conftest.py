"""Snapshots and frames made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crawler.engine.snapshot import BusyHost, Snapshot
from crawler.progress.frame import Frame
from crawler.progress.pace import Left

MakeSnapshot = Callable[..., Snapshot]
MakeFrame = Callable[..., Frame]

_USUAL: dict[str, Any] = {
    "seconds": 83.4, "is_stopping": False, "pages": 12_345, "wire_bytes": 123_456_789, "in_flight": 64,
    "processing": 12, "done": 12_300, "redirected": 45, "failed": 4, "skipped": 45, "pending": 5678,
    "failed_by_reason": {"http_4xx": 3, "dns": 1}, "skipped_by_reason": {"robots": 45},
    "hosts": (BusyHost("example.org", 8, 1200), BusyHost("idle.example", 0, 0)), "workers": 2, "workers_busy": 1,
    "worker_pids": (),
}  # fmt: skip


@pytest.fixture
def snapshot() -> MakeSnapshot:
    """Make a snapshot of a crawl that is well under way; keywords change it."""
    return lambda **changes: Snapshot(**{**_USUAL, **changes})


@pytest.fixture
def frame(snapshot: MakeSnapshot) -> MakeFrame:
    """Make a frame; keywords change its snapshot, `left` its estimate."""

    def make(left: Left | None = None, **changes: Any) -> Frame:
        return Frame(
            snapshot=snapshot(**changes),
            pages_per_second=147.2,
            bytes_per_second=1.2e6,
            left=left,
            own_bytes=80_000_000,
            workers_bytes=132_000_000,
        )

    return make
