"""Threads for calls that block: reused, bounded, and never what keeps a program from ending."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError, wait
from pathlib import Path

import pytest

from pipelines import threads as room
from pipelines.threads import Threads
from tests.support.leftovers import nothing_left


@pytest.fixture(autouse=True)
def leaves_nothing() -> Iterator[None]:
    with nothing_left():
        yield


@pytest.fixture
def threads() -> Iterator[Threads]:
    """At most two."""
    threads = Threads(2, name="test")
    yield threads
    threads.shutdown()


def fail(error: BaseException) -> None:
    raise error


def test_results_and_errors(threads: Threads) -> None:
    assert threads.submit(divmod, 7, 2).result(5) == (3, 1)
    with pytest.raises(KeyError):
        threads.submit(fail, KeyError("what")).result(5)
    with pytest.raises(SystemExit):
        threads.submit(fail, SystemExit(3)).result(5)
    with pytest.raises(RuntimeError, match=r"fail raised StopIteration"):
        threads.submit(fail, StopIteration()).result(5)


def test_no_more_threads_than_allowed_and_idle_ones_are_used_again(threads: Threads) -> None:
    names = {threads.submit(threading.current_thread).result(5).name}
    for _ in range(5):
        time.sleep(0.005)  # it is idle by then
        names.add(threads.submit(threading.current_thread).result(5).name)
    assert names == {"test-0"}
    gate = threading.Event()
    futures = [threads.submit(gate.wait, 5) for _ in range(8)]
    assert len([thread for thread in threading.enumerate() if thread.name.startswith("test-")]) == 2
    assert len(threads.unfinished()) == 8
    gate.set()
    assert all(future.result(5) for future in futures)
    assert threads.unfinished() == {}


def test_a_call_that_has_not_started_can_be_cancelled(threads: Threads) -> None:
    gate = threading.Event()
    futures = [threads.submit(gate.wait, 5) for _ in range(3)]
    assert futures[2].cancel()
    gate.set()
    wait(futures[:2], 5)
    with pytest.raises(CancelledError):
        futures[2].result(0)


def test_idle_threads_end_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "IDLE_SECONDS", 0.05)
    threads = Threads(2, name="test")
    threads.submit(int).result(5)
    until = time.monotonic() + 5
    while any(thread.name.startswith("test-") for thread in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert threads.submit(int, "3").result(5) == 3, "and are made again"
    threads.shutdown()


def test_what_a_call_held_is_let_go(threads: Threads) -> None:
    class Thing:
        def fail(self) -> None:
            raise ValueError

    thing = Thing()
    there = weakref.ref(thing)
    gc.disable()
    try:
        with pytest.raises(ValueError):
            threads.submit(thing.fail).result(5)
        del thing
        until = time.monotonic() + 5
        while there() is not None and time.monotonic() < until:
            time.sleep(0.005)
        assert there() is None
    finally:
        gc.enable()


def test_after_the_end_nothing_is_taken(threads: Threads) -> None:
    threads.shutdown()
    threads.shutdown()
    with pytest.raises(RuntimeError, match="closed"):
        threads.submit(int)


def test_draining_names_those_that_run_on() -> None:
    threads = Threads(1, name="test")
    gate = threading.Event()
    threads.submit(gate.wait, 5)
    waits = threads.submit(int)
    assert threads.drain(0.05) == ["threading.Event.wait"]
    assert waits.cancelled()
    gate.set()
    threads.shutdown()


PROGRAM = """
import logging, sys, time
logging.basicConfig(format="%(message)s")
from pipelines import threads
threads.EXIT_SECONDS = 0.3
pool = threads.Threads(2, name="test")
pool.submit({call})
time.sleep(0.1)
"""


def run(call: str) -> tuple[float, str]:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(call=call)],
        capture_output=True, text=True, timeout=20, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    return time.monotonic() - started, done.stderr + done.stdout


def test_a_call_that_hangs_does_not_keep_the_program_from_ending() -> None:
    seconds, output = run("time.sleep, 15")
    assert seconds < 8
    assert "abandoned after 0.3 s at exit, still running in threads: time.sleep" in output


def test_a_call_that_ends_soon_is_waited_for() -> None:
    _, output = run("lambda: (time.sleep(0.2), print('written'))")
    assert output == "written\n"
