"""What workers log, warn of and print reaches the parent, and cannot do harm there."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pool_tasks as tasks
import pytest

from pipelines.errors import TaskTimeout
from pipelines.pool import levels, relay, scribe
from pipelines.pool.pool import WorkerPool

Eventually = Callable[[Callable[[], bool]], None]


def records(caplog: pytest.LogCaptureFixture, name: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == name]


def test_records_reach_the_parents_loggers(pool: WorkerPool, caplog: pytest.LogCaptureFixture) -> None:
    pid = pool.submit(tasks.pid_after, 0).result(10)
    pool.submit(tasks.log, "some.name", logging.WARNING, "hello", 3).result(10)
    pool.close()
    found = records(caplog, "some.name")
    assert [record.getMessage() for record in found] == ["hello 0", "hello 1", "hello 2"]
    assert (found[0].levelname, found[0].funcName) == ("WARNING", "log")
    assert found[0].process in {pid, found[1].process} - {os.getpid()}
    assert found[0].pathname.endswith("pool_tasks.py")
    assert (found[0].page, found[0].what) == (7, "<class 'object'>")  # type: ignore[attr-defined]  # its extras


def test_an_exception_comes_as_text(pool: WorkerPool, caplog: pytest.LogCaptureFixture) -> None:
    pool.submit(tasks.log_trouble).result(10)
    pool.close()
    (record,) = records(caplog, "trouble")
    assert record.exc_text is not None
    assert record.exc_text.endswith("ValueError: inner")
    assert "in log_trouble" in logging.Formatter().format(record)


def test_the_level_is_that_of_the_parent(caplog: pytest.LogCaptureFixture) -> None:
    """It is read when a worker starts, so that nothing is sent that nobody wants; the parent has the last word."""
    with WorkerPool(1, spare=False) as pool:
        pool.submit(tasks.log, "level.default", logging.INFO, "unwanted").result(10)
    with caplog.at_level(logging.DEBUG, "level.wanted"), WorkerPool(1, spare=False) as pool:
        for name in ("level.wanted", "level.other"):
            pool.submit(tasks.log, name, logging.DEBUG, "wanted").result(10)
    assert [record.name for record in caplog.records if record.name.startswith("level.")] == ["level.wanted"]


def test_the_lowest_level_is_found_and_costs_nothing_without_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("very.deep")
    logger.setLevel(3)
    try:
        assert levels.lowest_level() == 3
    finally:
        logger.setLevel(logging.NOTSET)
    monkeypatch.delitem(sys.modules, "logging")
    assert levels.lowest_level() == logging.WARNING == levels.WARNING


def test_threads_of_a_task_do_not_garble_its_answer(pool: WorkerPool, caplog: pytest.LogCaptureFixture) -> None:
    for future in [pool.submit(tasks.log_from_threads, 50) for _ in range(6)]:
        assert future.result(20) == b"x" * 2_000_000
    assert pool.submit(tasks.same, 1).result(10) == 1
    pool.close()
    assert len(records(caplog, "threads")) > 6
    assert pool.stats().restarts == 0


def test_a_fork_does_not_speak_on_the_workers_socket(
    pool: WorkerPool, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    pool.submit(tasks.log_in_a_fork).result(10)
    pool.close()
    assert [record.getMessage() for record in records(caplog, "fork")] == ["parent"]
    assert "WARNING: from the fork" in capfd.readouterr().err


def test_a_warning_names_the_workers_line(caplog: pytest.LogCaptureFixture) -> None:
    flags = sys.warnoptions
    sys.warnoptions = []  # here warnings are errors, and a worker has its parent's options
    try:
        with WorkerPool(1, spare=False) as pool:
            pool.submit(tasks.warn, "mind\x1b[31m the gap").result(10)
    finally:
        sys.warnoptions = flags
    (record,) = records(caplog, "py.warnings")
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(record.pathname)
    assert record.getMessage().endswith("UserWarning: mind\x1b[31m the gap")
    assert record.filename == "pool_tasks.py"


@pytest.fixture
def angry() -> Iterator[None]:
    """A handler with a bug."""

    class Angry(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("handlers may do\x1b anything")

    handler, logger = Angry(), logging.getLogger("angry")
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


@pytest.mark.usefixtures("angry")
def test_a_handler_that_raises_does_not_end_the_pool(pool: WorkerPool, capfd: pytest.CaptureFixture[str]) -> None:
    pool.submit(tasks.log, "angry", logging.ERROR, "x").result(10)
    assert pool.submit(tasks.same, 1).result(10) == 1
    pool.close()
    assert r"handlers may do\x1b anything" in capfd.readouterr().err


class Slow(logging.Handler):
    """Hangs in its first record until it is let go; then takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.is_in, self.gate = threading.Event(), threading.Event()
        self.threads = set[str]()
        self.seen = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.threads.add(threading.current_thread().name)
        self.is_in.set()
        self.gate.wait(20)
        self.seen += 1


@pytest.fixture
def slow() -> Iterator[Slow]:
    handler, logger = Slow(), logging.getLogger("slow")
    logger.addHandler(handler)
    yield handler
    handler.gate.set()
    logger.removeHandler(handler)


def test_a_handler_that_hangs_keeps_nobody_from_its_deadline(
    pool: WorkerPool, slow: Slow, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Results, limits and the end of the pool go on without it."""
    monkeypatch.setattr(scribe, "CLOSE_SECONDS", 0.1)
    pool.submit(tasks.log, "slow", logging.ERROR, "x", 3).result(10)
    assert slow.is_in.wait(5)
    started = time.monotonic()
    assert isinstance(pool.submit(tasks.catastrophic, deadline=0.2).exception(10), TaskTimeout)
    assert time.monotonic() - started < 0.2 + 0.25
    pool.close()
    assert time.monotonic() - started < 2
    assert slow.threads == {"test-logs"}
    assert "[2 log records of workers were not handled in time]" in capfd.readouterr().err
    slow.gate.set()


def test_a_handler_that_is_slow_costs_records_not_memory(
    pool: WorkerPool, slow: Slow, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scribe, "MAX_RECORDS", 5)
    pool.submit(tasks.log, "slow", logging.ERROR, "x").result(10)
    assert slow.is_in.wait(5)
    pool.submit(tasks.log, "slow", logging.ERROR, "x", 20).result(10)
    slow.gate.set()
    pool.close()
    assert slow.seen == 6
    assert "[15 log records of workers were dropped: handlers take too long]" in capfd.readouterr().err


def test_a_handler_may_use_the_pool_and_even_close_it(pool: WorkerPool) -> None:
    results: list[object] = []

    class Curious(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            results.append(pool.submit(tasks.same, "from a handler").result(10))
            results.append(pool.close())

    handler, logger = Curious(), logging.getLogger("curious")
    logger.addHandler(handler)
    try:
        pool.submit(tasks.log, "curious", logging.ERROR, "x").result(10)
        until = time.monotonic() + 10
        while len(results) < 2:
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        logger.removeHandler(handler)
    assert results == ["from a handler", []]


def test_what_is_printed_is_escaped_line_by_line(pool: WorkerPool, capfd: pytest.CaptureFixture[str]) -> None:
    """A page's text must not clear the screen, set the title or answer for the user."""
    pool.submit(tasks.shout, "a\x1b[2Jb\x07\u202ec\tä\nsecond\rline").result(10)
    pool.submit(os.write, 2, b"\xff\x9b no end of line").result(10)
    pool.close()
    err = capfd.readouterr().err
    assert err.count("a\\x1b[2Jb\\x07\\u202ec\tä\n") == 2
    assert err.count("second\\rline\n") == 2
    assert "\\xff\\x9b no end of line\n" in err
    assert all(char.isprintable() or char in "\n\t" for char in err)


def test_a_print_without_flush_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    with WorkerPool(1, spare=False) as pool:
        pool.submit(print, "said in passing").result(10)
    assert "said in passing\n" in capfd.readouterr().err


def test_a_flood_is_cut_and_keeps_nobody_from_its_deadline(capfd: pytest.CaptureFixture[str]) -> None:
    with WorkerPool(2, spare=False) as pool:
        flood = pool.submit(tasks.flood, 0.8)
        started = time.monotonic()
        assert isinstance(pool.submit(tasks.catastrophic, deadline=0.3).exception(10), TaskTimeout)
        assert time.monotonic() - started < 0.3 + 0.5
        sent = flood.result(10)
    err = capfd.readouterr().err
    assert sent > 1_000_000
    assert 10_000 < len(err) < 4 * relay.MAX_BYTES_PER_SECOND
    assert "bytes that workers printed were dropped]" in err


@pytest.mark.parametrize("stream", ["none", "full"])
def test_a_stderr_that_takes_nothing(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without stderr, descriptor 2 may be anything; a full pipe must not block."""
    read, write = os.pipe()
    saved = os.dup(2)
    try:
        if stream == "none":
            monkeypatch.setattr(sys, "__stderr__", None)
        else:
            os.set_blocking(write, False)
            while True:
                try:
                    os.write(write, b"x" * 4096)
                except BlockingIOError:
                    break
            os.set_blocking(write, True)
        os.dup2(write, 2)
        with WorkerPool(1, spare=False) as pool:
            pool.submit(tasks.shout, "anybody?").result(10)
            assert pool.submit(tasks.same, 1).result(10) == 1
        os.dup2(saved, 2)
        os.set_blocking(read, False)
        try:
            assert b"anybody?" not in os.read(read, 1 << 20)
        except BlockingIOError:
            assert stream == "none"
    finally:
        os.dup2(saved, 2)
        for fd in (saved, read, write):
            os.close(fd)


def test_a_worker_that_never_logs_does_not_import_it() -> None:
    with WorkerPool(1, spare=False) as pool:
        assert pool.submit(eval, "'logging' in __import__('sys').modules").result(10) is False
