"""What a task and its caller see of the pool when nothing dies."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, as_completed, wait
from pathlib import Path
from pickle import PickleBuffer

import pool_tasks as tasks
import pytest
import uvloop

from pipelines.errors import PoolClosed, RemoteError, TaskNotPicklable, TaskTimeout, WorkerCrashed
from pipelines.pool import crew, process
from pipelines.pool.pool import WorkerPool
from pipelines.pool.stats import Death

Eventually = Callable[[Callable[[], bool]], None]


def test_arguments_and_results_travel(pool: WorkerPool) -> None:
    assert pool.submit(tasks.echo, 1, "two", three=[3.0]).result(10) == ((1, "two"), {"three": [3.0]})


def test_results_come_as_they_finish(pool: WorkerPool) -> None:
    """A slow task holds up nobody: what was sent ahead to its worker moves to the idle one."""
    slow: Future[object] = pool.submit(tasks.pid_after, 0.5)
    quick: list[Future[object]] = [pool.submit(tasks.same, number) for number in range(20)]
    order = list(as_completed([slow, *quick], timeout=10))
    assert order[-1] is slow
    assert sorted(str(future.result()) for future in quick) == sorted(map(str, range(20)))


def test_all_workers_take_part(pool: WorkerPool, eventually: Eventually) -> None:
    eventually(lambda: pool.stats().ready == 2)
    assert len({future.result(10) for future in [pool.submit(tasks.pid_after, 0.1) for _ in range(4)]}) == 2


def test_twenty_megabytes_both_ways_at_once(pool: WorkerPool) -> None:
    """Parent and worker write to each other at the same time: neither may wait for the other to read first."""
    payloads = [bytes([number]) * 20_000_000 for number in range(3)]
    futures = [pool.submit(tasks.same, payload) for payload in payloads]
    for payload, future in zip(payloads, futures, strict=True):
        assert future.result(20) == payload


def test_many_middle_sized_pages(pool: WorkerPool) -> None:
    pages = [os.urandom(40_000) for _ in range(50)]
    futures = [pool.submit(tasks.same, pages) for _ in range(20)]
    assert all(future.result(20) == pages for future in futures)


def test_buffers_travel_out_of_band_and_are_writable(pool: WorkerPool) -> None:
    data = bytearray(b"\1\2\3\4" * 100_000)
    assert pool.submit(tasks.numbers, PickleBuffer(data)).result(10) == 7 + 2 + 3 + 4
    assert data[0] == 1


def test_an_exception_is_itself_and_tells_where(pool: WorkerPool) -> None:
    with pytest.raises(ValueError, match="what") as caught:
        pool.submit(tasks.fail, "what").result(10)
    assert "pool_tasks.py" in str(caught.value.__cause__)


def test_an_exception_with_its_own_init_is_itself(pool: WorkerPool) -> None:
    with pytest.raises(tasks.TwoArguments, match="page: too odd") as caught:
        pool.submit(tasks.fail, "two").result(10)
    assert caught.value.what == "page"


def test_an_exception_does_not_change_its_text(pool: WorkerPool) -> None:
    with pytest.raises(tasks.Optional, match=r"^page: too odd$"):
        pool.submit(tasks.fail, "optional").result(10)


@pytest.mark.parametrize(
    ("kind", "summary"),
    [
        ("unpicklable", "pool_tasks.Unpicklable: it holds a function"),
        ("local", "Local: nobody can import me"),
        ("exit", "SystemExit: 3"),
        ("interrupt", "KeyboardInterrupt"),
        ("stop", "StopIteration: 1"),
    ],
)
def test_an_exception_that_cannot_travel_is_described(pool: WorkerPool, kind: str, summary: str) -> None:
    with pytest.raises(RemoteError, match=summary) as caught:
        pool.submit(tasks.fail, kind).result(10)
    assert "pool_tasks.py" in str(caught.value.__cause__)
    assert "(it came as text: " in str(caught.value.__cause__), "and why"
    assert pool.stats().deaths[Death.CRASH] == 0


@pytest.mark.parametrize("argument", [lambda: None, threading.Lock(), memoryview(b"x")])
def test_what_cannot_be_pickled_fails_at_the_call(pool: WorkerPool, argument: object) -> None:
    with pytest.raises(TaskNotPicklable, match="no lambda"):
        pool.submit(tasks.same, argument)
    with pytest.raises(TaskNotPicklable, match="pool_tasks"):
        pool.submit(tasks.same, 1, key=argument)


def test_a_function_of_the_script_is_refused_with_advice(pool: WorkerPool) -> None:
    def function() -> None: ...

    function.__module__ = "__main__"
    with pytest.raises(TaskNotPicklable, match="define it in a module"):
        pool.submit(function)


def test_an_unpicklable_result_fails_its_task_only(pool: WorkerPool) -> None:
    futures: list[Future[object]] = [pool.submit(tasks.give_lambda), pool.submit(tasks.same, 5)]
    with pytest.raises(TaskNotPicklable, match="give_lambda: the result, a function"):
        futures[0].result(10)
    assert futures[1].result(10) == 5
    assert pool.stats().restarts == 0


def test_workers_have_no_stdin_and_no_stdout(pool: WorkerPool, capfd: pytest.CaptureFixture[str]) -> None:
    assert pool.submit(tasks.stdin_is_empty).result(10)
    pool.submit(tasks.shout, "from the worker").result(10)
    pool.close()
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("from the worker") == 2


def test_workers_ignore_what_the_group_is_told(pool: WorkerPool) -> None:
    """Ctrl-C and `docker stop` reach every process of the group; the parent decides what becomes of the work."""
    assert pool.submit(tasks.interrupt_me).result(10) == "still here"


def test_a_worker_starts_light_nice_and_in_the_same_group() -> None:
    heavy = ["asyncio", "threading", "logging", "subprocess", "socket", "concurrent.futures", "multiprocessing"]
    with WorkerPool(1, preload=["colorsys"], nice=3) as pool:
        facts = pool.submit(tasks.facts).result(10)
        assert facts["nice"] == os.nice(0) + 3
        assert facts["group"] == os.getpgid(0)
        assert pool.submit(tasks.loaded, ["colorsys"]).result(10) == ["colorsys"]
    if {"COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"} & os.environ.keys():
        return  # then a worker starts with coverage, which is heavy
    with WorkerPool(1) as pool:
        # pool_tasks itself imports subprocess; a built-in shows the worker as it started.
        found = pool.submit(eval, f"[name for name in {heavy!r} if name in __import__('sys').modules]").result(10)
        assert found == []


def test_a_forked_child_does_not_answer(pool: WorkerPool) -> None:
    assert pool.submit(tasks.fork_and_return).result(10) > 0
    assert pool.submit(tasks.same, 1).result(10) == 1
    assert pool.submit(tasks.grandchild).result(10) == 0


def test_a_queued_task_can_be_cancelled(tmp_path: Path, eventually: Eventually) -> None:
    with WorkerPool(1) as pool:
        running = pool.submit(tasks.pid_after, 0.3)
        eventually(lambda: pool.stats().busy == 1)
        waiting = [pool.submit(tasks.mark, str(tmp_path / "ran")) for _ in range(3)]
        assert not running.cancel()
        assert all(future.cancel() for future in waiting)
        assert pool.stats().queued == 0
        assert pool.submit(tasks.same, 1).result(10) == 1
    assert not (tmp_path / "ran").exists(), "the one in the worker's socket was taken back, too"
    assert wait(waiting, timeout=1).not_done == set(), "those who wait for it hear of it"
    with pytest.raises(CancelledError):
        waiting[0].result(1)


async def test_cancelling_the_awaiting_task_gives_the_slot_back(eventually: Eventually) -> None:
    loop = asyncio.get_running_loop()
    async with WorkerPool(1) as pool:
        face = pool.executor(deadline=10)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.run_in_executor(face, tasks.pid_after, 0.3), 0.05)
        assert await loop.run_in_executor(face, tasks.same, 4) == 4


async def test_the_executor_face_has_standard_semantics(pool: WorkerPool) -> None:
    loop = asyncio.get_running_loop()
    face = pool.executor(deadline=5)
    results = await asyncio.gather(*(loop.run_in_executor(face, tasks.same, number) for number in range(50)))
    assert results == list(range(50))
    assert list(face.map(tasks.same, range(5))) == list(range(5))
    slow = face.submit(tasks.pid_after, 0.1)
    face.shutdown(wait=True)
    assert slow.done()
    with pytest.raises(RuntimeError, match="after shutdown"):
        face.submit(tasks.same, 1)
    assert pool.submit(tasks.same, 2).result(10) == 2


def test_closing_finishes_what_was_taken() -> None:
    pool = WorkerPool(2)
    futures = [pool.submit(tasks.pid_after, 0.02) for _ in range(10)]
    pool.close()
    assert all(future.done() and future.exception() is None for future in futures)
    assert pool.pids == ()
    pool.close()
    with pytest.raises(PoolClosed):
        pool.submit(tasks.same, 1)


def test_closing_gives_up_after_the_timeout() -> None:
    pool = WorkerPool(1)
    futures = [pool.submit(tasks.catastrophic), pool.submit(tasks.same, 1), pool.submit(tasks.same, 2)]
    started = time.monotonic()
    pool.close(timeout=0.2)
    assert time.monotonic() - started < 1.0
    for future in futures:
        with pytest.raises(PoolClosed, match="before pool_tasks"):
            future.result(0)


async def test_aclose_leaves_the_loop_free() -> None:
    pool = WorkerPool(1)
    future = pool.submit(tasks.pid_after, 0.3)
    closing = asyncio.create_task(pool.aclose())
    ticks = 0
    while not closing.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 10
    assert future.done()


def test_kill_does_not_wait(eventually: Eventually) -> None:
    pool = WorkerPool(2)
    future = pool.submit(tasks.pid_after, 30)
    eventually(lambda: pool.stats().busy == 1)
    started = time.monotonic()
    pool.kill()
    assert time.monotonic() - started < 0.5
    assert isinstance(future.exception(0), PoolClosed)


def test_a_pool_that_nobody_holds_ends_its_workers() -> None:
    future = WorkerPool(1).submit(tasks.pid_after, 30)
    assert isinstance(future.exception(5), PoolClosed)


def test_closing_from_a_callback_does_not_deadlock() -> None:
    pool = WorkerPool(1)
    closed = threading.Event()

    def on_done(_future: Future[object]) -> None:
        pool.close()
        closed.set()

    future: Future[object] = pool.submit(tasks.pid_after, 0.1)
    future.add_done_callback(on_done)
    assert closed.wait(5)
    pool.close()


def test_stats_count(pool: WorkerPool) -> None:
    for future in [pool.submit(tasks.same, number) for number in range(7)]:
        future.result(10)
    stats = pool.stats()
    assert (stats.done, stats.busy, stats.queued, stats.restarts) == (7, 0, 0, 0)
    assert stats.workers == 2
    assert stats.peak_rss_bytes > 5_000_000


def test_it_runs_under_uvloop(eventually: Eventually) -> None:
    async def main() -> list[object]:
        loop = asyncio.get_running_loop()
        async with WorkerPool(1) as pool:
            face = pool.executor(deadline=5)
            return list(await asyncio.gather(*(loop.run_in_executor(face, tasks.same, i) for i in range(20))))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == list(range(20))


_SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import pool_tasks
from pipelines.errors import TaskNotPicklable
from pipelines.pool.pool import WorkerPool

class Argument: ...
def work(): ...

pool = WorkerPool(1)
assert pool.submit(pool_tasks.same, 3).result(10) == 3
try:
    pool.submit(work)
except TaskNotPicklable as error:
    assert "define it in a module" in str(error)
else:
    raise SystemExit(8)
error = pool.submit(pool_tasks.same, Argument()).exception(10)
assert isinstance(error, TaskNotPicklable), error
assert "define it in a module" in str(error)
pool.close()
"""


@pytest.mark.parametrize("way", ["script", "-c", "-m"])
def test_it_runs_from_any_kind_of_main(tmp_path: Path, way: str) -> None:
    """No `if __name__ == "__main__"` is needed: workers do not import the script."""
    text = _SCRIPT.format(folder=str(Path(__file__).parent))
    (tmp_path / "some_script.py").write_text(text)
    how = {"script": ["some_script.py"], "-c": ["-c", text], "-m": ["-m", "some_script"]}[way]
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-W", "error", *how],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_pidfd_and_eventfd(monkeypatch: pytest.MonkeyPatch, eventually: Eventually) -> None:
    """Elsewhere than on Linux: nothing is sent ahead, and a death is seen by end of file."""
    for module in (crew, process):
        monkeypatch.setattr(module, "HAS_TOKENS", False)
    monkeypatch.setattr(process, "HAS_PIDFD", False)
    with WorkerPool(2) as pool:
        futures = [pool.submit(tasks.pid_after, 0.01) for _ in range(20)]
        guilty = pool.submit(tasks.leave, 3)
        assert isinstance(guilty.exception(10), WorkerCrashed)
        assert isinstance(pool.submit(tasks.catastrophic, deadline=0.2).exception(10), TaskTimeout)
        assert all(future.exception(10) is None for future in futures)
        eventually(lambda: pool.stats().ready == 2)
