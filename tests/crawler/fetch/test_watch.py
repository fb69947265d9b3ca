"""Time limits, with numbers for time: a loop whose clock stands still until the test moves it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from crawler.fetch.fetcher import Fetcher
from crawler.fetch.watch import Exchange, Phase, Watch
from crawler.frontier.reasons import Reason
from tests.support.faults import HANG, FaultServer, Repeat, Script, head, page
from tests.support.fetching import a_request, failed, fetch_once, fetched, options


class Clock:
    """As much of an event loop as the watch needs."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Clock:
        self.due.append((self.now + delay, callback))
        return self

    def cancel(self) -> None:
        self.due.clear()

    def run(self, seconds: float) -> None:
        """Let time pass, timers on time."""
        end = self.now + seconds
        while self.due and self.due[0][0] <= end:
            when, callback = self.due.pop(0)
            self.now = max(self.now, when)
            callback()
        self.now = end


class Task:
    """A task that counts cancellations."""

    def __init__(self) -> None:
        self.cancelled = 0

    def cancelling(self) -> int:
        return self.cancelled

    def cancel(self) -> None:
        self.cancelled += 1

    def uncancel(self) -> int:
        self.cancelled -= 1
        return self.cancelled


class Stream:
    """A body that is as long as the test says."""

    total_bytes = 0


@pytest.fixture
def clock() -> Clock:
    return Clock()


def watched(clock: Clock, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> tuple[Watch, Exchange]:
    task = Task()
    monkeypatch.setattr(asyncio, "current_task", lambda: task)  # the watch asks for nothing else of asyncio
    watch = Watch(options(**changes), cast("asyncio.AbstractEventLoop", clock))
    return watch, watch.start()


def expired_after(clock: Clock, exchange: Exchange, seconds: float) -> Reason | None:
    clock.run(seconds)
    return exchange.expired


def test_each_phase_has_its_limit(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"connect_timeout": 10.0, "read_timeout": 30.0, "total_timeout": 120.0}
    watch, exchange = watched(clock, monkeypatch, **limits)
    assert expired_after(clock, exchange, 9.4) is None
    assert expired_after(clock, exchange, 1.0) is Reason.CONNECT_TIMEOUT
    watch.finish(exchange)
    exchange = watch.start()
    exchange.phase, exchange.began = Phase.HEAD, clock.now
    assert expired_after(clock, exchange, 29.4) is None
    assert expired_after(clock, exchange, 1.0) is Reason.READ_TIMEOUT
    assert cast("Task", exchange.task).cancelled == 2  # once each, not at every tick


def body(watch: Watch, exchange: Exchange) -> Stream:
    stream = Stream()
    watch.reading(exchange, cast("Any", stream), Phase.BODY)
    return stream


def test_a_silent_body_ends_after_the_read_timeout(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A02. It had a good rate until then."""
    watch, exchange = watched(clock, monkeypatch, read_timeout=30.0)
    stream = body(watch, exchange)
    clock.run(5)
    stream.total_bytes = 1_000_000
    clock.run(29)
    assert exchange.expired is None
    clock.run(2)
    assert exchange.expired is Reason.READ_TIMEOUT


def test_a_drip_is_too_slow_after_the_grace(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A18: never silent for long, never at an end."""
    watch, exchange = watched(clock, monkeypatch, min_rate=100.0, min_rate_after=10.0)
    stream = body(watch, exchange)
    for _ in range(9):
        clock.run(1)
        stream.total_bytes += 99
    assert exchange.expired is None
    clock.run(2)
    assert exchange.expired is Reason.TOO_SLOW


def test_a_steady_body_may_take_the_total_timeout_and_no_longer(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, exchange = watched(clock, monkeypatch, total_timeout=120.0)
    stream = body(watch, exchange)
    for _ in range(119):
        clock.run(1)
        stream.total_bytes += 200
    assert exchange.expired is None
    clock.run(2)
    assert exchange.expired is Reason.TOTAL_TIMEOUT


def test_a_process_that_was_stopped_does_not_count_as_slow(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """I02: after ten minutes of SIGSTOP every limit would be over, and nobody's fault."""
    watch, exchange = watched(clock, monkeypatch)
    stream = body(watch, exchange)
    stream.total_bytes = 5000
    clock.run(5)
    clock.now += 600
    clock.run(1)
    assert exchange.expired is None
    clock.run(31)
    assert exchange.expired is Reason.READ_TIMEOUT


def test_the_watch_stops_ticking_when_nothing_runs(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, exchange = watched(clock, monkeypatch)
    watch.finish(exchange)
    clock.run(10)
    assert not clock.due
    watch.start()
    assert len(clock.due) == 1


FAST: dict[str, Any] = {
    "connect_timeout": 0.3,
    "read_timeout": 0.3,
    "total_timeout": 0.8,
    "min_rate": 1000.0,
    "min_rate_after": 0.3,
}


@pytest.mark.parametrize(
    ("script", "reason", "changes"),
    [
        ([HANG], Reason.READ_TIMEOUT, {}),  # A17
        ([head(length=1000), b"x", HANG], Reason.READ_TIMEOUT, {"min_rate": 0.0}),  # A02
        ([head(length=1000), Repeat(b"x", every=0.05)], Reason.TOO_SLOW, {}),  # A18
        ([head(), Repeat(b"x" * 100, every=0.05)], Reason.TOTAL_TIMEOUT, {}),
    ],
    ids=["silent", "stalled", "drip", "steady"],
)
async def test_a_real_server_runs_into_each_limit(script: Script, reason: Reason, changes: dict[str, float]) -> None:
    started = time.perf_counter()
    with FaultServer({"/": script}) as server:
        outcome = failed(await fetch_once(server.url(), **{**FAST, **changes}))
    assert outcome.reason is reason
    assert 0.25 < time.perf_counter() - started < 3


async def test_a_connection_that_is_never_made_times_out() -> None:
    """A17: the queue of the listener is full, so nobody answers the SYN."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        outcome = failed(await fetch_once(f"http://127.0.0.1:{port}/", **FAST))
        for filler in fillers:
            filler.close()
    assert outcome.reason is Reason.CONNECT_TIMEOUT


async def test_cancellation_passes_and_leaves_nothing_behind() -> None:
    """I16: a cancelled crawl must see its CancelledError, at whatever point the exchange is."""
    scripts: dict[str, Script] = {"/head": [HANG], "/body": [head(length=10), b"x", HANG], "/ok": [page()]}
    with FaultServer(scripts) as server:
        async with Fetcher(options()) as fetcher:
            for path in ("/head", "/body"):
                task = asyncio.create_task(fetcher.fetch(a_request(server.url(path))))
                await asyncio.sleep(0.1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert fetched(await fetcher.fetch(a_request(server.url("/ok")))).status == 200
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_timeout_of_the_caller_is_the_callers() -> None:
    with FaultServer({"/": [HANG]}) as server:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await fetch_once(server.url())
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_our_own_limit_leaves_the_task_uncancelled() -> None:
    with FaultServer({"/": [HANG]}) as server:
        assert failed(await fetch_once(server.url(), read_timeout=0.1)).reason is Reason.READ_TIMEOUT
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
