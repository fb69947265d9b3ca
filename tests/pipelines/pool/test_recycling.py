"""Workers that have served long enough, or grown too large, make room for a fresh one without anybody noticing."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pool_tasks as tasks
import pytest

from pipelines.pool.pool import WorkerPool

Eventually = Callable[[Callable[[], bool]], None]


@pytest.mark.parametrize("spare", [True, False])
def test_after_so_many_tasks(spare: bool, eventually: Eventually) -> None:
    with WorkerPool(2, recycle_after=10, spare=spare) as pool:
        pids: list[int] = []
        until = time.monotonic() + 20
        while len(set(pids)) <= 2:  # a start may take its time on a busy machine
            assert time.monotonic() < until, "nobody was replaced"
            pids += [future.result(20) for future in [pool.submit(tasks.pid_after, 0.002) for _ in range(100)]]
        assert all(pids.count(pid) >= 10 for pid in set(pids) - set(pool.pids))
        eventually(lambda: pool.stats().recycled == len(set(pids) - set(pool.pids)) or pool.stats().recycled > 2)
        stats = pool.stats()
        assert (stats.done, stats.ok, sum(stats.deaths.values())) == (len(pids), len(pids), 0)


def test_above_a_size_between_two_tasks(eventually: Eventually) -> None:
    with WorkerPool(1, recycle_above=100 << 20) as pool:
        eventually(lambda: pool.stats().ready == 1)
        pid = pool.submit(tasks.pid_after, 0).result(10)
        assert pool.submit(tasks.hoard, 150).result(20), "large while it works, small after it: it stays"
        assert pool.submit(tasks.pid_after, 0).result(10) == pid
        assert pool.submit(tasks.keep, 120).result(10) == pid
        eventually(lambda: pool.submit(tasks.pid_after, 0).result(10) != pid)
        eventually(lambda: pool.stats().recycled == 1)


def test_capacity_never_falls_and_no_task_is_interrupted(tmp_path: Path) -> None:
    """The successor is ready before the predecessor gets its last task, also with a slow start and no spare."""
    with WorkerPool(2, recycle_after=5, spare=False, initializer=tasks.prepare_slowly) as pool:
        pool.submit(tasks.same, 1).result(10)
        until = time.monotonic() + 2.0
        least = 2
        marks: list[Future[int]] = []
        while time.monotonic() < until:
            marks.append(pool.submit(tasks.mark, str(tmp_path / str(len(marks))), 0.01))
            marks[-1].result(10)
            least = min(least, sum(w.is_ready and not w.is_retired for w in tuple(pool.supervisor()._crew.workers)))
        assert least >= 1
        assert pool.stats().recycled >= 1
        assert all(len((tmp_path / str(number)).read_text().split()) == 1 for number in range(len(marks)))


def test_the_predecessor_ends_in_order(tmp_path: Path, eventually: Eventually) -> None:
    with WorkerPool(1, recycle_after=1) as pool:
        pool.submit(tasks.at_exit, str(tmp_path / "mark")).result(10)
        mark = tmp_path / "mark"
        eventually(lambda: mark.exists() and mark.read_text() == "ended in order")


def test_one_that_does_not_end_is_killed(eventually: Eventually, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.pool import crew

    monkeypatch.setattr(crew, "DISMISSAL_SECONDS", 0.1)
    with WorkerPool(1, recycle_after=1) as pool:
        pid = pool.submit(tasks.sleep_at_exit, 20.0).result(10)
        eventually(lambda: pool.stats().recycled >= 1)
        assert pid not in pool.pids
        assert pool.submit(tasks.same, 1).result(10) == 1
