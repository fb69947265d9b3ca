"""Workers that die or hang: exactly the running task is lost, with its cause; everything else is not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pool_tasks as tasks
import pytest

from pipelines.errors import PoolBroken, TaskTimeout, WorkerCrashed
from pipelines.pool.pool import WorkerPool
from pipelines.pool.stats import Death

Eventually = Callable[[Callable[[], bool]], None]


def test_a_deadline_kills_c_code_that_holds_the_gil(pool: WorkerPool, eventually: Eventually) -> None:
    eventually(lambda: pool.stats().ready == 2)
    others = [pool.submit(tasks.pid_after, 0.05, deadline=5) for _ in range(6)]
    started = time.monotonic()
    hanging = pool.submit(tasks.catastrophic, deadline=0.3)
    with pytest.raises(TaskTimeout, match=r"pool_tasks.catastrophic ran past its deadline of 0.3 s"):
        hanging.result(10)
    assert time.monotonic() - started < 6 * 0.05 + 0.3 + 0.25
    assert all(future.exception(10) is None for future in others)
    eventually(lambda: pool.stats().ready == 2)
    assert pool.stats().deaths[Death.TIMEOUT] == 1


def test_the_clock_of_a_deadline_starts_with_the_task() -> None:
    """Waiting in the queue, or in the worker's socket, is not running."""
    with WorkerPool(1) as pool:
        futures = [pool.submit(tasks.pid_after, 0.12, deadline=0.4) for _ in range(6)]
        assert all(future.exception(10) is None for future in futures)


def test_what_waits_behind_a_hanging_task_runs_elsewhere_once(tmp_path: Path) -> None:
    with WorkerPool(1) as pool:
        hanging = pool.submit(tasks.catastrophic, deadline=0.3)
        waiting = [pool.submit(tasks.mark, str(tmp_path / str(number))) for number in range(3)]
        assert isinstance(hanging.exception(10), TaskTimeout)
        assert all(future.exception(10) is None for future in waiting)
    assert [len((tmp_path / str(number)).read_text().splitlines()) for number in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("function", "arguments", "cause"),
    [
        (tasks.die, (signal.SIGKILL,), "was killed by SIGKILL while it ran pool_tasks.die"),
        (tasks.die, (signal.SIGABRT,), "was killed by SIGABRT"),
        (tasks.leave, (7,), "exited with code 7"),
        (tasks.segfault, (), "was killed by SIGSEGV"),
    ],
)
def test_a_crash_fails_its_own_task_only(
    pool: WorkerPool, function: Callable[..., object], arguments: tuple[object, ...], cause: str
) -> None:
    before = [pool.submit(tasks.pid_after, 0.02) for _ in range(4)]
    guilty = pool.submit(function, *arguments)
    after = [pool.submit(tasks.pid_after, 0.02) for _ in range(4)]
    with pytest.raises(WorkerCrashed, match=cause):
        guilty.result(10)
    assert all(future.exception(10) is None for future in before + after)
    assert pool.stats().deaths[Death.CRASH] == 1
    assert pool.stats().restarts == 1


def test_a_crash_comes_with_the_last_words(pool: WorkerPool) -> None:
    error = pool.submit(tasks.segfault).exception(10)
    assert error is not None
    assert "in segfault" in "".join(error.__notes__)


def test_a_kill_by_hand_costs_the_running_task(pool: WorkerPool, tmp_path: Path, eventually: Eventually) -> None:
    eventually(lambda: pool.stats().ready == 2)
    futures = [pool.submit(tasks.mark, str(tmp_path / str(number)), 0.1) for number in range(12)]
    eventually(lambda: pool.stats().done >= 2)
    os.kill(pool.pids[0], signal.SIGKILL)
    errors = [error for future in futures if (error := future.exception(10))]
    assert len(errors) <= 1, "none, if the blow fell between two tasks"
    assert all(isinstance(error, WorkerCrashed) for error in errors)
    assert all(len((tmp_path / str(number)).read_text().splitlines()) == 1 for number in range(12))


def test_an_idle_worker_that_dies_costs_nothing(pool: WorkerPool, eventually: Eventually) -> None:
    eventually(lambda: pool.stats().ready == 2)
    victims = pool.pids
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    assert [pool.submit(tasks.same, number).result(10) for number in range(8)] == list(range(8))
    eventually(lambda: len(pool.pids) == 2 and not set(pool.pids) & set(victims))
    assert pool.stats().deaths[Death.IDLE] == 2


def test_storms_of_kills_lose_at_most_one_task_each(pool: WorkerPool) -> None:
    """Blows at random instants: between two tasks, while a frame is on its way, during a start."""
    chance = random.Random(7)
    kills, payload = 0, os.urandom(300_000)
    futures = [pool.submit(tasks.same, (number, payload)) for number in range(1500)]
    while not all(future.done() for future in futures) and kills < 15:
        if pool.stats().ready:
            os.kill(chance.choice(pool.pids), signal.SIGKILL)
            kills += 1
        time.sleep(0.03)
    failed = 0
    for number, future in enumerate(futures):
        if future.exception(30) is None:
            assert future.result() == (number, payload)
        else:
            assert isinstance(future.exception(), WorkerCrashed)
            failed += 1
    assert failed <= kills


def test_workers_that_do_not_start_break_the_pool() -> None:
    pool = WorkerPool(2, preload=["no_such_module_anywhere"])
    future = pool.submit(tasks.same, 1)
    with pytest.raises(PoolBroken, match="No module named 'no_such_module_anywhere'"):
        future.result(10)
    with pytest.raises(PoolBroken, match="workers do not start"):
        pool.submit(tasks.same, 2)
    assert pool.stats().deaths[Death.START] in (5, 6)  # the second worker may have been on its way to the same end
    pool.close()


def test_workers_that_only_crash_break_the_pool() -> None:
    with WorkerPool(2) as pool:
        futures = [pool.submit(tasks.leave, 9) for _ in range(40)]
        errors = [future.exception(30) for future in futures]
        assert sum(isinstance(error, WorkerCrashed) for error in errors) >= 20
        assert isinstance(errors[-1], PoolBroken)
        assert "exited with code 9" in str(errors[-1])


def test_poison_between_good_tasks_never_breaks_the_pool() -> None:
    with WorkerPool(1) as pool:
        for _ in range(6):
            assert isinstance(pool.submit(tasks.leave, 9).exception(10), WorkerCrashed)
            assert pool.submit(tasks.same, 1).result(10) == 1


_PARENT = """
import sys, time
sys.path[:0] = {path!r}
import pool_tasks
from pipelines.pool.pool import WorkerPool
pool = WorkerPool(2)
pool.submit(pool_tasks.catastrophic)
while pool.stats().busy < 1 or pool.stats().ready < 2 or pool.stats().spares < 1:
    time.sleep(0.01)
print(*(worker.process.pid for worker in pool.supervisor()._crew.workers), flush=True)
{then}
"""


def _parent(then: str) -> subprocess.Popen[str]:
    code = _PARENT.format(path=[entry for entry in sys.path if entry], then=then)
    return subprocess.Popen([sys.executable, "-W", "error", "-c", code], stdout=subprocess.PIPE, text=True)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_no_worker_outlives_a_killed_parent(eventually: Eventually) -> None:
    """Neither the idle one nor the spare nor the one that is lost in C code."""
    with _parent("time.sleep(60)") as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 3
        parent.kill()
    started = time.monotonic()
    eventually(lambda: not any(map(_is_alive, pids)))
    assert time.monotonic() - started < 2


def test_a_pool_forgotten_at_exit_does_not_hold_the_exit_up() -> None:
    started = time.monotonic()
    with _parent("") as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert parent.wait(5) == 0
    assert not any(map(_is_alive, pids))
    assert time.monotonic() - started < 5


def test_a_forked_copy_of_the_parent_does_not_touch_the_pool() -> None:
    then = """
import os
import random
from pipelines.errors import PoolClosed
child = os.fork()
if not child:
    try:
        pool.submit(abs, 1)
    except PoolClosed:
        pool.close()
        sys.exit(7)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert pool.submit(abs, -5).result(5) == 5
sys.exit(code)
"""
    with _parent(then) as parent:
        assert parent.wait(10) == 7
