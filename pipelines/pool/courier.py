"""Sends what the crew assigned, outside the supervisor's lock.

A system call gives the interpreter lock away. Made with our own lock held, it would let others run straight into that
one: two threads would wake each other several times for one task. So the lock is held for bookkeeping alone, and the
worker that a letter is for is reserved meanwhile: no second letter can overtake the first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from pipelines.pool.crew import Crew, Worker
from pipelines.pool.frames import Kind
from pipelines.pool.task import Task


class Courier:
    """Takes the letters of one crew to its workers, in whichever thread; two may do so at once."""

    def __init__(self, crew: Crew, lock: threading.RLock, on_congestion: Callable[[], None]) -> None:
        """`lock`: the supervisor's. `on_congestion` is told when a socket has no room for the rest."""
        self._crew, self._lock, self._on_congestion = crew, lock, on_congestion

    def deliver(self) -> None:
        """Send all letters, also those that the sending makes possible. The lock must not be held."""
        letters = self._crew.letters
        while letters:
            try:
                worker, task = letters.popleft()
            except IndexError:
                return  # another thread was quicker
            try:
                self._send(worker, task)
            except BaseException:
                # Ctrl-C in the thread of a caller: nobody knows how much was sent. What the worker had moves on.
                worker.process.kill()
                raise

    def _send(self, worker: Worker, task: Task) -> None:
        is_gone = has_left = False
        try:
            has_left = worker.channel.send(Kind.OFFER, task.ident, task.chunks, task.size, task.buffers)
        except OSError:
            is_gone = True  # it died; what it was sent is put back when it is buried
        with self._lock:
            if is_gone:
                self._crew.retire(worker)
            self._crew.sent(worker, has_left=has_left)
        if not has_left and not is_gone:
            self._on_congestion()
