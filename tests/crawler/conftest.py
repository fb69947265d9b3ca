"""Sites to crawl with the real command: started once for all tests that want them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Job, MakeJob, Record, Site


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """300 pages, as fast as they come."""
    served = Site("--pages", "300", "--page-bytes", "2000")
    yield served
    served.close()


@pytest.fixture(scope="session")
def slow_site() -> Iterator[Site]:
    """The same 300 pages at another port, each 0.15 s late: a crawl of it can be caught in the middle."""
    served = Site("--pages", "300", "--page-bytes", "2000", "--delay", "0.15")
    yield served
    served.close()


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    """Make jobs for a site, each in a new folder; keywords are tables of the config."""
    made: list[Job] = []

    def make(site: Site, **tables: dict[str, Any]) -> Job:
        folder = tmp_path / f"job{len(made)}"
        folder.mkdir()
        made.append(Job(folder, site.url, tables))
        return made[-1]

    return make


@pytest.fixture(scope="session")
def undisturbed(slow_site: Site, tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """The records of one crawl of the slow site that nobody disturbed."""
    job = Job(tmp_path_factory.mktemp("undisturbed"), slow_site.url)
    ran = job.run("--quiet")
    assert (ran.code, ran.err) == (0, "")
    records = job.records()
    assert len(records) == 300
    return records
