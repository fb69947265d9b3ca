"""The contract of all backends, rule by rule: kept by each that promises it, and its absence shown where it is lacking.

The rules are those that users run against their own backends: `pipelines.testing`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipelines.backends import Guarantee
from pipelines.testing import backend_stream
from pipelines.testing.backend import RULES
from pipelines.testing.backend_orphans import check_no_orphans
from tests.support.leftovers import nothing_left

sys.path.insert(0, str(Path(__file__).parent))
from backend_makers import MAKERS

if TYPE_CHECKING:
    from pipelines.backends import Backend
    from pipelines.testing.rules import Rule

BY_NAME = {rule.name: rule for rule in RULES}


@pytest.fixture(scope="module", params=list(MAKERS))
def maker(request: pytest.FixtureRequest) -> str:
    """Each backend in turn; one is used up before the next is made."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def shared(maker: str) -> Iterator[Backend]:
    """A backend for all rules that leave it whole; all of it ends with it."""
    with nothing_left():
        backend = MAKERS[maker]()
        yield backend
        backend.close()
        del backend


@pytest.fixture(scope="module", autouse=True)
def items(maker: str) -> Iterator[None]:
    """With CRAWLMILL_ITEMS=1000000 (`make torture`), ten times what `check_backend` takes pass through our backends.

    The results of its 100,000 are three times what a caller may grow by, so they tell who forgets nothing; the million
    tells who forgets a little. In front of foreign executors the code is always the same, and the time is theirs.
    """
    with pytest.MonkeyPatch.context() as patch:
        if maker in ("inline", "threads", "local", "crawl"):
            patch.setattr(backend_stream, "ITEMS", int(os.environ.get("CRAWLMILL_ITEMS", backend_stream.ITEMS)))
        yield


def skip_what_is_lacking(backend: Backend, rule: Rule) -> None:
    if lacking := rule.needs - backend.guarantees:
        pytest.skip(f"{backend.name} does not promise {', '.join(sorted(lacking))}")


@pytest.mark.parametrize("name", [rule.name for rule in RULES if not rule.fresh])
def test_a_rule(shared: Backend, name: str) -> None:
    skip_what_is_lacking(shared, BY_NAME[name])
    BY_NAME[name].run(shared)


@pytest.mark.parametrize("name", [rule.name for rule in RULES if rule.fresh])
def test_a_rule_for_a_backend_of_its_own(maker: str, name: str) -> None:
    backend = MAKERS[maker]()
    try:
        skip_what_is_lacking(backend, BY_NAME[name])
        BY_NAME[name].run(backend)
    finally:
        backend.close()


def test_nothing_outlives_a_parent_that_is_killed(shared: Backend, maker: str) -> None:
    if Guarantee.NO_ORPHANS not in shared.guarantees:
        pytest.skip(f"{shared.name} does not promise {Guarantee.NO_ORPHANS}")
    if maker in ("inline", "threads", "stdlib_threads"):
        assert Guarantee.PARALLEL not in shared.guarantees, "no process that could be left"
    check_no_orphans(MAKERS[maker])
