"""Sites in processes of their own, so that every descriptor and task of the test process is the crawl's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.crash_jobs import Site


@pytest.fixture(scope="session")
def full_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Everything the demo web has: special URLs, broken connections, URLs that fail at first, a closed host."""
    site = Site(
        tmp_path_factory.mktemp("full"), "--pages", "300", "--faults", "--closed-host", "--slow", "0.1",
        "--crawl-delay", "0.002",
        pages=300, faults=True, closed_host=True, slow_seconds=0.1, crawl_delay_seconds=0.002,
    )  # fmt: skip
    yield site
    site.close()


@pytest.fixture(scope="session")
def plain_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """120 pages and nothing else."""
    site = Site(
        tmp_path_factory.mktemp("plain"), "--pages", "120", "--plain", "--crawl-delay", "0", "--page-bytes", "1500",
        pages=120, cases=False, crawl_delay_seconds=0.0, page_bytes=1500,
    )  # fmt: skip
    yield site
    site.close()


@pytest.fixture(scope="session")
def slow_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The same pages, each 30 ms late: a crawl can be caught in the middle."""
    site = Site(
        tmp_path_factory.mktemp("slow"), "--pages", "120", "--plain", "--crawl-delay", "0", "--page-bytes", "1500",
        "--delay", "0.03",
        pages=120, cases=False, crawl_delay_seconds=0.0, page_bytes=1500, delay_seconds=0.03,
    )  # fmt: skip
    yield site
    site.close()
