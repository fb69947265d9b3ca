"""Whether files are still what their receipts say: all of them, on every core, down to the damaged bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from crawler.download.receipt import Receipt
from pipelines.pool.pool import WorkerPool


class Checked(NamedTuple):
    """What reading one file came to."""

    path: str
    """Relative to the root; of an unreadable receipt its own name."""
    state: str
    """`right`, `damaged`, `missing`, `unreadable` (the file or its receipt)."""
    detail: str
    spans: tuple[tuple[int, int], ...]
    """Damaged byte ranges, half-open; those beyond the end of the file included."""
    receipt: Receipt | None
    size: int
    """Bytes that were read."""


async def verify_all(root: Path, pool: WorkerPool) -> AsyncIterator[Checked]:
    """Re-hash every file that has a receipt and yield the results as they come."""
    raise NotImplementedError
    yield
