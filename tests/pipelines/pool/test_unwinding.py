"""What still runs when the drain is over is made to end where it stands, and killed when it does not.

A task holds things that a killed process leaves behind: a temporary file, a lock, half an upload.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pool_tasks as tasks
import pytest

from pipelines.coroutine import run_coroutine
from pipelines.errors import PoolClosed
from pipelines.pool.forkserver import CAN_FORK
from pipelines.pool.outcome import Status
from pipelines.pool.pool import WorkerPool
from pipelines.pool.unwind import Unwinding

Eventually = Callable[[Callable[[], bool]], None]
SLACK_SECONDS = 1.0  # the machine is shared

FORKED = pytest.param(True, marks=pytest.mark.skipif(not CAN_FORK, reason="needs pidfd (Linux 5.3)"), id="forked")


@pytest.fixture(params=[pytest.param(False, id="spawned"), FORKED])
def pool(request: pytest.FixtureRequest) -> Iterator[WorkerPool]:
    """One worker, of each kind."""
    with WorkerPool(1, preload=["pool_tasks"], forkserver=request.param, spare=False) as pool:
        yield pool


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Where a task writes what has become of it."""
    return tmp_path / "mark"


def begun(mark: Path) -> Callable[[], bool]:
    return lambda: mark.exists() and mark.read_text() != ""


def test_a_task_that_runs_may_clean_up_and_is_lost(
    pool: WorkerPool, mark: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    future = pool.submit(tasks.clean_up, str(mark))
    eventually(begun(mark))
    assert pool.close(timeout=0.3) == ["pool_tasks.clean_up"]
    assert mark.read_text() == "cleaned up"
    assert "cleaning up" in caplog.text, "what it logs then is heard"
    assert isinstance(future.exception(0), PoolClosed), "what it returned in the end does not count"
    assert future.outcome.status is Status.CANCELLED


@pytest.mark.parametrize("function", [tasks.clean_up, tasks.have_a_handler])
def test_what_was_sent_ahead_is_not_begun(
    pool: WorkerPool, mark: Path, eventually: Eventually, function: Callable[[str], str]
) -> None:
    pool.submit(function, str(mark))
    ahead = pool.submit(tasks.mark, str(mark.with_name("ahead")))
    eventually(begun(mark))
    eventually(lambda: pool.stats().queued == 1)
    assert pool.close(timeout=0.1) == [f"pool_tasks.{function.__name__}", "pool_tasks.mark"]
    assert mark.read_text() == "cleaned up"
    assert not mark.with_name("ahead").exists()
    assert isinstance(ahead.exception(0), PoolClosed)


@pytest.mark.parametrize("function", [tasks.never_end, tasks.count_in_c], ids=["swallows it", "in C code"])
def test_what_does_not_end_is_killed_after_the_grace(
    pool: WorkerPool, mark: Path, eventually: Eventually, function: Callable[[str], object]
) -> None:
    future = pool.submit(function, str(mark))
    eventually(begun(mark))
    started = time.monotonic()
    assert pool.close(timeout=0.1, grace=0.4) == [f"pool_tasks.{function.__name__}"]
    assert 0.5 <= time.monotonic() - started < 0.5 + SLACK_SECONDS
    assert isinstance(future.exception(0), PoolClosed)
    if function is tasks.never_end:
        assert mark.read_text().splitlines() == ["began", "swallowed SystemExit"], "once"


@pytest.mark.parametrize("way", ["kill", "no time", "no grace"])
def test_who_has_no_time_kills_at_once(pool: WorkerPool, mark: Path, eventually: Eventually, way: str) -> None:
    pool.submit(tasks.clean_up, str(mark))
    eventually(begun(mark))
    started = time.monotonic()
    ways: dict[str, Callable[[], list[str]]] = {
        "kill": pool.kill,
        "no time": lambda: pool.close(timeout=0.0),
        "no grace": lambda: pool.close(timeout=0.01, grace=0.0),
    }
    assert ways[way]() == ["pool_tasks.clean_up"]
    assert time.monotonic() - started < 0.4
    assert mark.read_text() == "began"


def test_a_later_kill_ends_the_grace(pool: WorkerPool, mark: Path, eventually: Eventually) -> None:
    pool.submit(tasks.never_end, str(mark))
    eventually(begun(mark))
    closing = threading.Thread(target=pool.close, kwargs={"timeout": 0.01, "grace": 30.0})
    closing.start()
    eventually(lambda: "swallowed" in mark.read_text())
    started = time.monotonic()
    pool.kill()
    closing.join(5)
    assert not closing.is_alive()
    assert time.monotonic() - started < SLACK_SECONDS


async def test_the_loop_goes_on_meanwhile(pool: WorkerPool, mark: Path) -> None:
    pool.submit(tasks.never_end, str(mark))
    has_begun = begun(mark)
    while not has_begun():  # noqa: ASYNC110 - what is waited for happens in another process
        await asyncio.sleep(0.005)
    closing = asyncio.create_task(pool.aclose(timeout=0.1, grace=0.4))
    longest, last = 0.0, time.monotonic()
    while not closing.done():
        await asyncio.sleep(0.01)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert await closing == ["pool_tasks.never_end"]
    assert longest < 0.3


def test_a_coroutine_is_cancelled_and_cleans_up(pool: WorkerPool, mark: Path, eventually: Eventually) -> None:
    pool.submit(run_coroutine, tasks.clean_up_async, (str(mark),), {}, None, None)
    eventually(begun(mark))
    pool.close(timeout=0.1, grace=5.0)
    assert mark.read_text() == "cleaned up"


def test_a_record_on_its_way_is_not_cut_in_two(pool: WorkerPool, mark: Path, eventually: Eventually) -> None:
    logger = logging.getLogger("unwinding")
    refuse = logging.Filter("nobody")
    logger.addFilter(refuse)
    try:
        pool.submit(tasks.log_without_end, str(mark))
        eventually(begun(mark))
        assert pool.close(timeout=0.2, grace=5.0) == ["pool_tasks.log_without_end"]
        assert pool.supervisor().thread.is_alive() is False
    finally:
        logger.removeFilter(refuse)
    assert mark.read_text() == "cleaned up"


def test_the_signal_alone_means_nothing(pool: WorkerPool, mark: Path, eventually: Eventually) -> None:
    """Ctrl-C and `docker stop` signal the whole group, while the parent may want to drain."""
    future = pool.submit(tasks.clean_up, str(mark), 0.5)
    eventually(begun(mark))
    os.kill(pool.pids[0], signal.SIGTERM)
    assert future.result(10) == "a part of the result"
    assert future.outcome.run_s >= 0.5
    assert pool.stats().restarts == 0


# -- the room alone


def asked(unwinding: Unwinding) -> None:
    unwinding.signalled(signal.SIGTERM, None)


@pytest.fixture
def ends() -> Iterator[tuple[Unwinding, Callable[[], None], list[object]]]:
    """The room at one end of a socket, what hangs up at the other, and what is told through it."""
    import socket

    ours, theirs = socket.socketpair()
    told: list[object] = []
    yield Unwinding(ours.fileno(), told.append), lambda: theirs.shutdown(socket.SHUT_WR), told
    ours.close()
    theirs.close()


def test_between_two_tasks_it_waits_for_the_next(
    ends: tuple[Unwinding, Callable[[], None], list[object]],
) -> None:
    unwinding, hang_up, _ = ends
    with unwinding:
        asked(unwinding)  # the parent has not hung up
    hang_up()
    asked(unwinding)
    reached = False
    with pytest.raises(SystemExit), unwinding:
        reached = True
    assert not reached, "it was asked between the claim and the start"
    asked(unwinding)


def test_it_raises_after_a_record_and_in_the_main_thread_only(
    ends: tuple[Unwinding, Callable[[], None], list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    unwinding, hang_up, told = ends
    hang_up()

    def tell(fields: object) -> None:
        asked(unwinding)
        told.append(fields)

    monkeypatch.setattr(unwinding, "_tell", tell)
    with pytest.raises(SystemExit), unwinding:
        unwinding.tell({"msg": "whole"})
    assert told == [{"msg": "whole"}]
    monkeypatch.setattr(unwinding, "_tell", told.append)
    thread = threading.Thread(target=unwinding.tell, args=({"msg": "of a thread"},))
    thread.start()
    thread.join()
    assert told[1:] == [{"msg": "of a thread"}]


def test_a_fork_of_the_worker_is_not_meant(
    ends: tuple[Unwinding, Callable[[], None], list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    unwinding, hang_up, _ = ends
    hang_up()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with unwinding:
        asked(unwinding)
