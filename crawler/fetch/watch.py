"""Time limits of all exchanges, kept by one ticking timer instead of several timers for every request.

An exchange goes through three phases, and each has its limit: a connection (`connect_timeout`), the whole head of the
response (`read_timeout`, so that neither a dripping head nor endless 1xx responses buy time), and the body, where the
pause between two bytes and the average rate count. Above them is `total_timeout`. A limit is noticed at the next tick.

The watch ends an exchange by cancelling the task that runs it, and takes the cancellation back in `Exchange.claim`, as
`asyncio.timeout` does. A process that was stopped (SIGSTOP, a suspended laptop, a blocked loop) does not count as slow:
the time in which nobody could read is added to every limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from math import inf

from aiohttp import StreamReader

from crawler.fetch.guard import Guard
from crawler.fetch.options import FetchOptions
from crawler.frontier.reasons import Reason

MAX_TICK = 0.5  # seconds; the precision of every limit
DRAIN_SECONDS = 2.0  # what reading the rest of an error page may take, to keep the connection


class Phase(Enum):
    """Where an exchange is."""

    CONNECT = auto()
    HEAD = auto()
    BODY = auto()
    DRAIN = auto()


class Exchange:
    """One request under watch. Made and used by the task that runs it."""

    __slots__ = (
        "began",
        "expired",
        "guard",
        "moved",
        "phase",
        "seen",
        "sent",
        "silence",
        "started",
        "stream",
        "task",
        "was_cancelling",
    )

    def __init__(self, task: asyncio.Task[object], now: float, sent: Callable[[], None] | None) -> None:
        self.task = task
        self.sent = sent
        self.was_cancelling = task.cancelling()
        self.phase = Phase.CONNECT
        self.started = now
        self.began = now  # of this phase
        self.moved = now  # last time a byte of the body was seen
        self.seen = 0
        self.silence: float | None = None  # seconds, where less than `read_timeout` is waited for a byte of the body
        self.stream: StreamReader | None = None
        self.guard: Guard | None = None
        self.expired: Reason | None = None

    def claim(self) -> bool:
        """Return whether the cancellation just caught was ours alone, and take it back."""
        if self.expired is None:
            return False
        return self.task.uncancel() <= self.was_cancelling


class Watch:
    """All running exchanges of one fetcher."""

    def __init__(self, options: FetchOptions, loop: asyncio.AbstractEventLoop) -> None:
        self._options = options
        self._loop = loop
        shortest = min(options.connect_timeout, options.read_timeout, options.total_timeout)
        self._period = min(MAX_TICK, shortest / 4)
        self._running: dict[asyncio.Task[object], Exchange] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._ticked = 0.0

    def __len__(self) -> int:
        return len(self._running)

    def start(self, sent: Callable[[], None] | None = None) -> Exchange:
        """Put the current task under watch until `finish`; call `sent` whenever it has a connection for its request."""
        task = asyncio.current_task()
        assert task is not None, "fetch runs in a task"
        assert task not in self._running, "a task runs one exchange at a time"
        now = self._loop.time()
        exchange = Exchange(task, now, sent)
        self._running[task] = exchange
        if self._timer is None:
            self._ticked = now
            self._timer = self._loop.call_later(self._period, self._tick)
        return exchange

    def finish(self, exchange: Exchange) -> None:
        """Take the exchange off the watch."""
        del self._running[exchange.task]

    def current(self) -> Exchange:
        """Return the exchange that the current task runs."""
        task = asyncio.current_task()
        assert task is not None
        return self._running[task]

    def connected(self, exchange: Exchange, guard: Guard) -> None:
        """Note that the exchange has its connection and is about to send its request."""
        guard.begin()
        exchange.guard = guard
        exchange.phase = Phase.HEAD
        exchange.began = self._loop.time()
        if exchange.sent is not None:
            exchange.sent()

    def reading(self, exchange: Exchange, stream: StreamReader, phase: Phase) -> None:
        """Note that the head is there and the body is being read."""
        now = self._loop.time()
        exchange.phase = phase
        exchange.began = exchange.moved = now
        exchange.seen = stream.total_bytes
        exchange.stream = stream
        if exchange.guard is not None:
            exchange.guard.stream = stream

    def close(self) -> None:
        """Stop ticking."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        if not self._running:
            self._timer = None
            return
        now = self._loop.time()
        stopped = now - self._ticked - self._period
        self._ticked = now
        self._timer = self._loop.call_later(self._period, self._tick)
        for exchange in list(self._running.values()):
            if stopped > 2 * MAX_TICK:
                exchange.started += stopped
                exchange.began += stopped
                exchange.moved += stopped
            if exchange.expired is None:
                exchange.expired = self._judge(exchange, now)
                if exchange.expired is not None:
                    exchange.task.cancel()

    def _judge(self, exchange: Exchange, now: float) -> Reason | None:
        options = self._options
        elapsed = now - exchange.began
        match exchange.phase:
            case Phase.CONNECT if elapsed >= options.connect_timeout:
                return Reason.CONNECT_TIMEOUT
            case Phase.HEAD if elapsed >= options.read_timeout:
                return Reason.READ_TIMEOUT
            case Phase.DRAIN if elapsed >= DRAIN_SECONDS:
                return Reason.READ_TIMEOUT
            case Phase.BODY:
                if reason := self._judge_body(exchange, now, elapsed):
                    return reason
        if now - exchange.started >= options.total_timeout:
            return Reason.TOTAL_TIMEOUT
        return None

    def _judge_body(self, exchange: Exchange, now: float, elapsed: float) -> Reason | None:
        assert exchange.stream is not None
        seen = exchange.stream.total_bytes
        if seen != exchange.seen:
            exchange.seen = seen
            exchange.moved = now
        elif now - exchange.moved >= min(self._options.read_timeout, exchange.silence or inf):
            return Reason.READ_TIMEOUT
        if elapsed >= self._options.min_rate_after and seen < self._options.min_rate * elapsed:
            return Reason.TOO_SLOW
        return None
