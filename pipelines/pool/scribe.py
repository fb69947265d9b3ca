"""Hands what workers log to this process's loggers, in a thread of its own.

Handlers are the user's code: one that blocks, or asks the pool for something, must not keep the supervisor from its
deadlines. The thread is started with the first record, and records that come faster than they are handled are dropped
beyond a bound, with a line that says how many.
"""

from __future__ import annotations

import threading
from collections import deque

from pipelines.pool.channel import Frame
from pipelines.pool.frames import decode
from pipelines.pool.relay import Relay

MAX_RECORDS = 10_000
MAX_BYTES = 16 << 20
CLOSE_SECONDS = 1.0
"""What handlers get at the end of the pool for the records that are still waiting."""


class Scribe:
    """A queue of records and its thread. `take` and `close` belong to the supervisor's thread."""

    def __init__(self, relay: Relay, name: str) -> None:
        """`relay`: where to tell of what was dropped or could not be handled."""
        self._relay, self._name = relay, name
        self._records: deque[tuple[bytes, int]] = deque()  # a frame's body and its number of buffers
        self._bytes = self._dropped = 0
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def take(self, frame: Frame) -> None:
        """Queue a record, or drop it when too much is waiting."""
        with self._changed:
            if len(self._records) >= MAX_RECORDS or self._bytes + len(frame.body) > MAX_BYTES:
                self._dropped += 1
                return
            self._records.append((bytes(frame.body), frame.buffers))
            self._bytes += len(frame.body)
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"{self._name}-logs", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait until all is handled, but not for long: a handler may hang."""
        if self._thread is None:
            return
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not threading.current_thread():
            self._thread.join(CLOSE_SECONDS)
        with self._changed:
            if self._records:
                self._relay.write(f"[{len(self._records)} log records of workers were not handled in time]")
                self._records.clear()

    def _run(self) -> None:
        while (record := self._next()) is not None:
            try:
                from pipelines.pool.logs import deliver  # imports logging

                deliver(decode(memoryview(record[0]), record[1], copy=True))
            except Exception as exc:  # noqa: BLE001 - handlers and filters are the user's code; the others go on
                self._relay.write(f"[a log record of a worker could not be handled: {exc!r}]")

    def _next(self) -> tuple[bytes, int] | None:
        """Wait for a record; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._records or self._is_closed)
            if self._dropped:
                self._relay.write(f"[{self._dropped} log records of workers were dropped: handlers take too long]")
                self._dropped = 0
            if not self._records:
                return None
            record = self._records.popleft()
            self._bytes -= len(record[0])
            return record
