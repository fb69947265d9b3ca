"""Tasks and surroundings that break other pools."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pool_tasks as tasks
import pytest

from pipelines.errors import PoolBroken, PoolClosed, RemoteError, TaskNotPicklable, TaskTimeout, WorkerCrashed
from pipelines.pool.pool import WorkerPool

Eventually = Callable[[Callable[[], bool]], None]
ROOT = str(Path(__file__).parents[3])
MIB = 1 << 20


def test_a_hundred_megabytes_both_ways(pool: WorkerPool) -> None:
    data = os.urandom(1000) * 100_000
    assert pool.submit(tasks.same, data).result(60) == data


@pytest.mark.parametrize("seconds", [1.0])
def test_c_code_that_holds_the_gil_ends_in_time(pool: WorkerPool, eventually: Eventually, seconds: float) -> None:
    eventually(lambda: pool.stats().ready == 2)
    started = time.monotonic()
    future = pool.submit(tasks.catastrophic, deadline=seconds)
    assert isinstance(future.exception(10), TaskTimeout)
    assert seconds <= time.monotonic() - started < seconds + 0.25


def test_a_stopped_worker_meets_its_deadline(pool: WorkerPool) -> None:
    """SIGSTOP: a debugger, a frozen container, a confused administrator."""
    future = pool.submit(tasks.stop_me, deadline=0.3)
    assert isinstance(future.exception(10), TaskTimeout)
    assert pool.submit(tasks.same, 1).result(10) == 1


def test_a_worker_that_is_stopped_between_tasks_loses_none(pool: WorkerPool, eventually: Eventually) -> None:
    eventually(lambda: pool.stats().ready == 2)
    for pid in pool.pids:
        os.kill(pid, signal.SIGSTOP)
    futures = [pool.submit(tasks.same, number, deadline=0.8) for number in range(8)]
    assert [future.result(20) for future in futures] == list(range(8))


def test_the_worst_exception_is_an_answer(pool: WorkerPool) -> None:
    with pytest.raises(RemoteError, match="BaseException: of the worst kind"):
        pool.submit(tasks.raise_base).result(10)
    assert pool.stats().restarts == 0


def test_closed_standard_files_are_the_tasks_own_trouble(eventually: Eventually) -> None:
    with WorkerPool(1, spare=False) as pool:
        assert pool.submit(tasks.close_standard_files).result(10) == "done"
        assert [pool.submit(tasks.same, number).result(10) for number in range(3)] == [0, 1, 2]
        assert pool.submit(tasks.loaded, ["sys"]).result(10) == ["sys"]
        assert pool.stats().restarts == 0
        crash = pool.submit(tasks.leave, 3)
        assert isinstance(crash.exception(10), WorkerCrashed)


def test_a_task_that_closes_the_socket_is_a_crash(pool: WorkerPool) -> None:
    future = pool.submit(tasks.close_everything)
    with pytest.raises(WorkerCrashed, match=r"while it ran pool_tasks\.close_everything; only"):
        future.result(10)
    assert pool.submit(tasks.same, 1).result(10) == 1


def _sockets(pid: int) -> list[str]:
    links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return [link for link in links if link.startswith("socket:")]


def test_a_child_that_a_task_forked_holds_nothing_up(eventually: Eventually) -> None:
    """It lives on after its parent with a copy of every descriptor the task had."""
    started = time.monotonic()
    not_ours = _descendants(os.getpid())
    with WorkerPool(1, spare=False) as pool:
        child = pool.submit(tasks.leave_a_child, 30.0).result(10)
        assert pool.submit(tasks.same, 1).result(10) == 1
        eventually(lambda: not _sockets(child))  # it closes them when it runs for the first time
        error = pool.submit(tasks.fork_and_die, 30.0).exception(10)
        assert isinstance(error, WorkerCrashed)
        assert pool.submit(tasks.same, 2).result(10) == 2
        children = _descendants(os.getpid()) - not_ours - set(pool.pids)
        assert child in children
    assert time.monotonic() - started < 10
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, file.read_text().split()):
            found |= {child} | _descendants(child)
    return found


def test_a_task_may_have_a_pool_of_its_own(pool: WorkerPool) -> None:
    assert pool.submit(tasks.nested, [1, 2, 3]).result(20) == [1, 2, 3]
    with pytest.raises(WorkerCrashed, match="exited with code 5"):
        pool.submit(tasks.nested_crash).result(20)
    assert pool.stats().crashes == 0


def test_an_initializer_that_fails_is_told(eventually: Eventually) -> None:
    pool = WorkerPool(1, initializer=tasks.refuse_to_start)
    with pytest.raises(PoolBroken, match="no database here"):
        pool.submit(tasks.same, 1).result(20)
    assert pool.close() == []
    with pytest.raises(TaskNotPicklable, match="no lambda"):
        WorkerPool(1, initializer=lambda: None)


def test_closing_tells_what_was_lost() -> None:
    pool = WorkerPool(1, spare=False)
    done = pool.submit(tasks.same, 1)
    assert done.result(10) == 1
    futures = [pool.submit(tasks.catastrophic), pool.submit(tasks.same, 1), pool.submit(tasks.mark, "/dev/null")]
    futures[2].cancel()
    assert pool.close(timeout=0.1) != []
    assert sorted(pool.close()) == ["pool_tasks.catastrophic", "pool_tasks.same"]
    assert all(isinstance(future.exception(0), PoolClosed) for future in futures[:2])
    assert (futures[0].outcome.status, futures[0].outcome.cause) == ("cancelled", "the pool was closed")


async def test_aclose_and_kill_tell_it_too() -> None:
    pool = WorkerPool(1, spare=False)
    pool.submit(tasks.pid_after, 20)
    assert await pool.aclose(timeout=0.05) == ["pool_tasks.pid_after"]
    pool = WorkerPool(1, spare=False)
    pool.submit(tasks.pid_after, 20)
    assert pool.kill() == ["pool_tasks.pid_after"]
    assert WorkerPool(1).close() == []
    assert await WorkerPool(1).aclose() == []


def test_workers_that_may_end_in_order_do(tmp_path: Path) -> None:
    with WorkerPool(1, spare=False) as pool:
        pool.submit(tasks.at_exit, str(tmp_path / "mark")).result(10)
    assert (tmp_path / "mark").exists()


def test_an_orderly_end_that_takes_too_long_is_cut_short() -> None:
    pool = WorkerPool(1, spare=False)
    pool.submit(tasks.sleep_at_exit, 30.0).result(10)
    started = time.monotonic()
    assert pool.close() == []
    assert time.monotonic() - started < 2


def test_a_later_close_may_be_faster(eventually: Eventually) -> None:
    from threading import Thread

    pool = WorkerPool(1, spare=False)
    future = pool.submit(tasks.pid_after, 20)
    eventually(future.running)
    closing = Thread(target=pool.close, kwargs={"timeout": 30.0})
    closing.start()
    assert pool.kill() == ["pool_tasks.pid_after"]
    closing.join(5)
    assert not closing.is_alive()


def run(code: str, *how: str, **options: object) -> subprocess.CompletedProcess[str]:
    path = [ROOT, str(Path(__file__).parent)]
    text = f"import sys; sys.path[:0] = {path!r}\n{code}"
    return subprocess.run(  # type: ignore[call-overload,no-any-return]  # options of all kinds
        [sys.executable, "-W", "error", *(how or ("-c", text))], capture_output=True, text=True, timeout=30, **options
    )


_WORK = """
import pool_tasks
from pipelines.pool.pool import WorkerPool
with WorkerPool(2) as pool:
    assert [pool.submit(pool_tasks.same, n).result(10) for n in range(4)] == [0, 1, 2, 3]
    pool.submit(pool_tasks.shout, "noise").result(10)
    assert pool.submit(pool_tasks.stdin_is_empty).result(10)
"""


@pytest.mark.parametrize("closed", [(0,), (1, 2), (0, 1, 2)])
def test_it_runs_with_closed_standard_files(closed: tuple[int, ...], tmp_path: Path) -> None:
    """As a daemon starts: the next files that are opened get these numbers, the pool's own among them."""
    shell = " ".join(f"{fd}{'<' if fd == 0 else '>'}&-" for fd in closed)
    mark = tmp_path / "mark"
    path = [ROOT, str(Path(__file__).parent)]
    script = tmp_path / "program.py"
    script.write_text(f"import sys; sys.path[:0] = {path!r}\n{_WORK}\nopen({str(mark)!r}, 'w').write('done')")
    subprocess.run(["/bin/sh", "-c", f"{sys.executable} {script} {shell}"], timeout=30, check=True)
    assert mark.read_text() == "done"


def test_it_runs_with_streams_that_are_none() -> None:
    done = run("sys.stdout = sys.stderr = sys.stdin = None\n" + _WORK)
    assert done.returncode == 0


def test_it_runs_where_main_has_no_file() -> None:
    done = run("del sys.modules['__main__'].__dict__['__builtins__']\n" + _WORK.replace("2)", "2, name='x')"))
    assert done.returncode == 0, done.stderr


def test_it_runs_in_a_daemonic_process_of_multiprocessing() -> None:
    code = """
import multiprocessing

def work():
    import pool_tasks
    from pipelines.pool.pool import WorkerPool
    with WorkerPool(1) as pool:
        assert pool.submit(pool_tasks.same, 3).result(10) == 3
    sys.exit(11)

for method in ("fork",):
    process = multiprocessing.get_context(method).Process(target=work, daemon=True)
    process.start()
    process.join(20)
    assert process.exitcode == 11, process.exitcode
"""
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_it_runs_under_pytest_started_as_a_module(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pool_tasks\n"
        "from pipelines.pool.pool import WorkerPool\n"
        "def test_it():\n"
        "    with WorkerPool(1) as pool:\n"
        "        assert pool.submit(pool_tasks.same, 1).result(10) == 1\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([ROOT, str(Path(__file__).parent)])}
    done = run("", "-m", "pytest", "-q", "-p", "no:asyncio", str(tmp_path), env=env, cwd=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_where_no_process_can_be_started_the_pool_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with WorkerPool(2) as pool, pytest.raises(PoolBroken, match="could not be started"):
        pool.submit(tasks.same, 1).result(20)
