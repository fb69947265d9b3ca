"""The contract of all backends, and of each only what it promises."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipelines.backends.backend import Backend, Guarantee
from pipelines.backends.foreign import ForeignBackend
from pipelines.backends.inline import InlineBackend
from pipelines.backends.local import LocalBackend
from pipelines.errors import PoolBroken, PoolClosed, TaskTimeout, WorkerCrashed
from pipelines.pool.pool import WorkerPool

sys.path.insert(0, str(Path(__file__).parent))
import backend_tasks as tasks

if TYPE_CHECKING:
    Make = Callable[[], Backend]


def _processes() -> Backend:
    promised = frozenset({Guarantee.OFF_LOOP, Guarantee.PARALLEL})
    return ForeignBackend(ProcessPoolExecutor(2, mp_context=get_context("spawn")), guarantees=promised)


MAKERS: dict[str, Make] = {
    "inline": InlineBackend,
    "threads": lambda: ForeignBackend(ThreadPoolExecutor(2)),
    "processes": _processes,
    "local": lambda: LocalBackend(WorkerPool(2)),
}


@pytest.fixture(params=list(MAKERS))
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    backend = MAKERS[request.param]()
    yield backend
    backend.close()


def _needs(backend: Backend, guarantee: Guarantee) -> None:
    if guarantee not in backend.guarantees:
        pytest.skip(f"{backend.name} does not promise {guarantee}")


def test_values_and_keywords(backend: Backend) -> None:
    futures = [backend.submit(tasks.twice, number, plus=1, deadline=20) for number in range(20)]
    assert [future.result(20) for future in futures] == [2 * number + 1 for number in range(20)]
    assert backend.name


def test_an_exception_belongs_to_its_future(backend: Backend) -> None:
    futures: list[Future[object]] = [backend.submit(tasks.fail), backend.submit(tasks.twice, 4)]
    with pytest.raises(tasks.Odd, match="on purpose"):
        futures[0].result(20)
    assert futures[1].result(20) == 8


def test_closing_finishes_what_was_taken_and_takes_no_more(backend: Backend) -> None:
    futures = [backend.submit(tasks.nap, 0.01) for _ in range(6)]
    backend.close()
    backend.close()
    assert all(future.done() for future in futures)
    with pytest.raises(PoolClosed):
        backend.submit(tasks.twice, 1)


def test_submit_does_not_wait(backend: Backend) -> None:
    _needs(backend, Guarantee.OFF_LOOP)
    backend.submit(tasks.twice, 1).result(20)
    future = backend.submit(tasks.nap, 0.3)
    assert not future.done()
    future.result(20)


def test_work_is_done_elsewhere(backend: Backend) -> None:
    _needs(backend, Guarantee.PARALLEL)
    assert backend.submit(tasks.nap, 0).result(20) != os.getpid()


def test_a_deadline_is_kept(backend: Backend) -> None:
    _needs(backend, Guarantee.DEADLINE)
    backend.submit(tasks.twice, 1).result(20)
    started = time.monotonic()
    with pytest.raises(TaskTimeout):
        backend.submit(tasks.nap, 10, deadline=0.1).result(20)
    assert time.monotonic() - started < 0.1 + 0.25


def test_a_crash_costs_one_task(backend: Backend) -> None:
    _needs(backend, Guarantee.ISOLATION)
    guilty = backend.submit(tasks.leave)
    others = [backend.submit(tasks.twice, number) for number in range(5)]
    assert isinstance(guilty.exception(20), WorkerCrashed)
    assert [future.result(20) for future in others] == [0, 2, 4, 6, 8]


def test_a_lesser_citizen_may_not_promise_deadlines() -> None:
    with pytest.raises(ValueError, match="takes no deadline"):
        ForeignBackend(ThreadPoolExecutor(1), guarantees=frozenset({Guarantee.DEADLINE}))


def test_a_broken_executor_says_so() -> None:
    backend = _processes()
    assert backend.submit(tasks.leave).exception(20) is not None
    with pytest.raises(PoolBroken, match="ProcessPoolExecutor"):
        backend.submit(tasks.twice, 1)
    backend.close()
