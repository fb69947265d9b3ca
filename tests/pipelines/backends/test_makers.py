"""The backends under test are those in use: also the pool as the crawler makes it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from crawler.config.sections import Cpu
from crawler.engine import workers

sys.path.insert(0, str(Path(__file__).parent))
from backend_makers import CRAWL


def test_the_pool_of_the_crawler_is_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the options that the crawler gives it, whatever their values."""
    given: dict[str, object] = {}
    monkeypatch.setattr(workers, "WorkerPool", lambda count, **options: given.update(options))
    workers._pool(2, Cpu(), ())
    assert set(CRAWL) <= set(given)
    assert {name for name, value in given.items() if value is True} == {"forkserver"}
    assert (given["forkserver"], given["spare"]) == (CRAWL["forkserver"], CRAWL["spare"])
    assert all(isinstance(given[name], int) for name in ("recycle_above", "memory_limit"))
