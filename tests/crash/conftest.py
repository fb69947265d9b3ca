"""The sites that the crawls of this folder are killed on, and what an undisturbed crawl finds there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.crash_jobs import Site
from tests.support.torture import Reference


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """2,000 numbered pages and a hundred special ones. No answer depends on what was asked before."""
    yield from _serve(tmp_path_factory.mktemp("site"), 2000)


@pytest.fixture(scope="session")
def reference(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """An undisturbed crawl of `site`."""
    return Reference.of(site, tmp_path_factory.mktemp("reference") / "job")


@pytest.fixture(scope="session")
def small_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The same with 500 numbered pages."""
    yield from _serve(tmp_path_factory.mktemp("small_site"), 500)


@pytest.fixture(scope="session")
def small_reference(small_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """An undisturbed crawl of `small_site`."""
    return Reference.of(small_site, tmp_path_factory.mktemp("small_reference") / "job")


def _serve(folder: Path, pages: int) -> Iterator[Site]:
    arguments = ["--pages", str(pages), "--steady", "--crawl-delay", "0", "--slow", "0.1"]
    site = Site(folder, *arguments, pages=pages, flaky=False, crawl_delay_seconds=0.0, slow_seconds=0.1)
    yield site
    site.close()
