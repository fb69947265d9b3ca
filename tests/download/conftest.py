"""Worker processes that all downloads of a module share: a download gets a downloader of its own, not new processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crawler.download.worker.terms import PRELOAD
from crawler.testing.pytest_plugin import fault_server
from pipelines.pool.pool import WorkerPool

__all__ = ["fault_server", "pool"]  # a fixture that is imported; `pytest_plugins` is for a top-level conftest.py only


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    """Two workers that know how to download."""
    with WorkerPool(2, preload=PRELOAD, name="download", spare=False) as pool:
        yield pool
