"""The proof that no backend leaves anything behind, each test's own ones and those that many tests share."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker

import pytest
from loky.backend import resource_tracker as loky_tracker

from tests.support.leftovers import nothing_left, young_heap

KEEPS_A_PIPE = "test_a_lack_is_real[loky-isolation]"
"""A loky executor that broke keeps one pipe, until the next one breaks."""


@pytest.fixture(scope="session", autouse=True)
def _helpers() -> None:
    """Start what the standard library and loky start once and keep for as long as the process lives."""
    resource_tracker.ensure_running()
    forkserver.ensure_running()
    loky_tracker.ensure_running()


@pytest.fixture(scope="module", autouse=True)
def few_objects() -> Iterator[None]:
    """For two looks a test at what is left."""
    with young_heap():
        yield


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest, _helpers: None) -> Iterator[None]:
    """A shared backend starts and replaces workers when it likes: it is held to the same when it is closed."""
    if "shared" in request.fixturenames or request.node.name == KEEPS_A_PIPE:
        yield
        return
    with nothing_left():
        yield
