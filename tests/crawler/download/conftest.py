"""What tests of whole downloads share: workers that stay, and a server that does as it is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crawler.download.worker.terms import PRELOAD
from crawler.testing.faultserver import FaultServer
from pipelines.pool.pool import WorkerPool


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    """Two workers for all tests of a file."""
    with WorkerPool(2, preload=PRELOAD, name="download", spare=False) as pool:
        yield pool


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """Nothing is mounted: 404 for everything."""
    with FaultServer() as server:
        yield server
