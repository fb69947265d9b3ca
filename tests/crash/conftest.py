"""The site that the crawls of this folder are killed on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.crash_jobs import Site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """2,000 numbered pages and a hundred special ones. No answer depends on what was asked before."""
    site = Site(
        tmp_path_factory.mktemp("site"), "--pages", "2000", "--steady", "--crawl-delay", "0", "--slow", "0.1",
        pages=2000, flaky=False, crawl_delay_seconds=0.0, slow_seconds=0.1,
    )  # fmt: skip
    yield site
    site.close()
