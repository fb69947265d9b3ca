"""The same pages become the same bytes wherever they are processed, and by however many."""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipelines.backends import InlineBackend
from pipelines.page import Page
from pipelines.pipeline import BUILT_IN, Pipeline
from pipelines.testing.hostile import hostile_pages, ordinary_pages
from pipelines.work import process_batch
from tests.support.pages import admit_site

sys.path.insert(0, str(Path(__file__).parent))
from backend_makers import SIZED, count_words

if TYPE_CHECKING:
    from pipelines.backends import Backend

BATCH = 7  # no divisor of anything


@cache
def corpus() -> list[Page]:
    pages = [*ordinary_pages(120), *(page for page in hostile_pages().values() if len(page.body) < 100_000)]
    return [page._replace(id=number) for number, page in enumerate(pages)]


def digest(backend: Backend, spec: bytes) -> str:
    """Process the corpus and return the digest of the records in the order of the pages."""
    pages = corpus()
    futures = [
        backend.submit(process_batch, spec, pages[start : start + BATCH]) for start in range(0, len(pages), BATCH)
    ]
    results = [result for future in futures for result in future.result(60)]
    assert [result.id for result in results] == list(range(len(pages)))
    return hashlib.sha256(b"\n".join(result.line or result.detail.encode() for result in results)).hexdigest()


@pytest.fixture(scope="module")
def spec() -> bytes:
    return Pipeline([*BUILT_IN, count_words]).spec._replace(admit=admit_site).dumps()


@pytest.fixture(scope="module")
def expected(spec: bytes) -> str:
    """What one process makes of it, one page after the other."""
    return digest(InlineBackend(), spec)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("name", list(SIZED))
def test_the_same_digest_everywhere(name: str, workers: int, spec: bytes, expected: str) -> None:
    """On each backend, with any number of workers."""
    backend = SIZED[name](workers)
    try:
        assert digest(backend, spec) == expected
    finally:
        backend.close()
