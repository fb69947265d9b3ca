"""Sends what the crew assigned, outside the supervisor's lock.

A system call gives the interpreter lock away. Made with our own lock held, it would let others run straight into that
one: two threads would wake each other several times for one task. So the lock is held for bookkeeping alone, and the
worker that a letter is for is reserved meanwhile: no second letter can overtake the first.
"""

from __future__ import annotations

import threading

from pipelines.pool.crew import Crew, Worker
from pipelines.pool.frames import Kind
from pipelines.pool.switchboard import Switchboard
from pipelines.pool.task import Task


class Courier:
    """Takes the letters of one crew to its workers, in whichever thread; two may do so at once."""

    def __init__(self, crew: Crew, lock: threading.RLock, board: Switchboard) -> None:
        """`lock`: the supervisor's; `board`: where it waits."""
        self._crew, self._lock, self._board = crew, lock, board

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
        crew = self._crew
        with self._lock:
            check = crew.next_check
            if is_gone:
                crew.retire(worker)
            crew.sent(worker, has_left=has_left)  # may begin the next task, whose deadline the supervisor has to watch
            if crew.congested or crew.next_check < check:
                self._board.ring()

    # From here on: the supervisor's thread.

    def watch(self) -> None:
        """Wait for room in the sockets that did not take everything."""
        if not self._crew.congested:
            return
        with self._lock:
            congested, self._crew.congested = self._crew.congested, []
        for worker in congested:
            self._board.want_room(worker, True)

    def flush(self, worker: Worker) -> None:
        """Send what was left over, now that there is room."""
        try:
            is_drained = worker.channel.flush()
        except OSError:
            is_drained = True  # it died; its end is noticed separately
        if is_drained:
            self._board.want_room(worker, False)
