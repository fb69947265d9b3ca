"""Lets the event loop that waits for answers take them itself.

Otherwise each answer wakes the supervisor's thread, and that one wakes the loop: two more switches between threads,
often from one core to another with everything they touch, and a wait for the interpreter lock at each. For short tasks
that is a quarter of what they cost.

The selector of the workers' sockets has a descriptor of its own. While a loop *attends*, it waits for that descriptor
and the supervisor does not. A loop may be blocked, paused or closed at any time, so every `LOOK_SECONDS` in which tasks
run the supervisor looks whether answers lie there; when the loop has taken none since the last look, the supervisor
waits for them itself again, until the loop comes back. Deadlines and deaths are the supervisor's in any case.

One loop attends at a time. Others, and threads without a loop, are served by whoever takes the answers.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from contextvars import Context
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from pipelines.pool.bell import running_loop
from pipelines.pool.channel import SCRATCH_BYTES
from pipelines.pool.closing import Closing
from pipelines.pool.crew import Crew, Worker
from pipelines.pool.reception import Reception
from pipelines.pool.switchboard import Switchboard

if TYPE_CHECKING:
    import asyncio

LOOK_SECONDS = 0.02


class Attendance:
    """Who takes the answers of one pool: an event loop or the supervisor."""

    def __init__(
        self, crew: Crew, lock: threading.RLock, board: Switchboard, reception: Reception, closing: Closing
    ) -> None:
        """`lock`: the supervisor's."""
        self._crew, self._lock, self._board, self._reception, self._closing = crew, lock, board, reception, closing
        self._pid = os.getpid()
        self._attendant: _Attendant | None = None
        self._is_attended = False
        self._is_over = False
        self._calls = self._calls_seen = 0
        self._scratch: memoryview | None = None  # of the loop's; not before there is one
        self._busy = threading.Lock()  # held by the loop that takes
        self.gone: deque[Worker] = deque()
        """Workers that hung up, as the loop noticed; for the supervisor."""

    def offer(self, pool: object) -> None:
        """Have the running loop attend, if there is one and no other does; `pool` is what holds all this.

        Called with every task, so it is cheap when there is nothing to do.
        """
        loop = running_loop()
        attendant = self._attendant
        if loop is None or (attendant is not None and (attendant.loop() is loop or self._is_served(attendant))):
            return
        self._engage(loop, pool)

    def look(self) -> list[Worker]:
        """Return the workers whose answers lie there although a loop attends. For the supervisor's thread."""
        if not self._is_attended:
            return []
        found = self._board.calling()
        if found and self._calls == self._calls_seen:
            self.stand_in()
        self._calls_seen = self._calls
        return found

    def stand_in(self) -> None:
        """Take the answers in the supervisor's thread until the loop comes back."""
        with self._lock:
            self._is_attended = False
            self._crew.patience = inf
            self._board.watch_frames(True)

    def end(self) -> None:
        """Let go of the loop, whenever it comes to it: the pool is at its end."""
        with self._lock:
            self._is_over = True
        if self._attendant is not None:
            self._attendant.dismiss()

    def leave(self) -> None:
        """Let go of the loop now, if it is the one that runs here. After `end`."""
        attendant = self._attendant
        if attendant is not None and attendant.loop() is running_loop():
            attendant.leave()

    def called(self, attendant: _Attendant) -> None:
        """Take what lies there, on the loop."""
        if attendant is not self._attendant or self._is_over or self._pid != os.getpid():
            attendant.leave()
            return
        if not self._busy.acquire(blocking=False):
            return  # a loop inside this loop, run by a callback of an answer that is being taken
        try:
            self._calls += 1
            if not self._is_attended:
                self._attend()
            for worker in self._board.calling():
                self._take(worker)
        finally:
            self._busy.release()
        crew = self._crew
        if crew.has_changed or crew.congested or self.gone or self._closing.has_begun:
            self._ring()

    def _take(self, worker: Worker) -> None:
        if self._scratch is None:
            self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        check = self._crew.next_check
        try:
            self._reception.read(worker, self._scratch)
        except BlockingIOError:
            pass  # the supervisor was quicker
        except (EOFError, ConnectionError):
            self._board.deafen(worker)
            self.gone.append(worker)
        if self._crew.next_check < check:
            self._ring()

    def _is_served(self, attendant: _Attendant) -> bool:
        """Whether the loop of an attendant does attend, as far as one knows."""
        loop = attendant.loop()
        return self._is_attended and loop is not None and not loop.is_closed()

    def _engage(self, loop: asyncio.AbstractEventLoop, pool: object) -> None:
        """Have a loop attend, on which this is called."""
        with self._lock:
            if self._is_over or self._closing.has_begun:
                return
            former, self._attendant = self._attendant, None
            attendant = _Attendant(self, loop, pool)
            if attendant.enter(self._board.frames_fd):
                self._attend()
            self._attendant = attendant  # also one that cannot: it need not be asked again
        if former is not None:
            former.dismiss()

    def _attend(self) -> None:
        with self._lock:
            if self._is_over or self._closing.has_begun:
                return
            self._is_attended = True
            self._crew.patience = LOOK_SECONDS
            self._crew.next_check = min(self._crew.next_check, monotonic() + LOOK_SECONDS)
            self._board.watch_frames(False)
            self._board.ring()

    def _ring(self) -> None:
        with self._lock:
            self._board.ring()


class _Attendant:
    """One loop's part in it. Owns a descriptor, until it left or the loop is closed and both are forgotten.

    Closing it before would let another file have its number, under which the loop still knows it.
    """

    def __init__(self, attendance: Attendance, loop: asyncio.AbstractEventLoop, pool: object) -> None:
        self.loop = weakref.ref(loop)
        self._attendance = attendance
        self._pool = weakref.ref(pool)
        self._fd = -1
        self._close: weakref.finalize[..., _Attendant] | None = None

    def enter(self, fd: int) -> bool:
        """Have the loop wait for a descriptor, of which this keeps a copy; False when it cannot. On the loop."""
        loop = self.loop()
        assert loop is not None
        try:
            self._fd = os.dup(fd)
            self._close = weakref.finalize(self, os.close, self._fd)
            # Empty: the context of the task that happens to come first must neither live on nor be seen by callbacks.
            Context().run(loop.add_reader, self._fd, self._called)
        except (OSError, NotImplementedError):  # too many files, or a loop that waits for no files
            if self._close is not None:
                self._close()
            return False
        return True

    def leave(self) -> None:
        """Have the loop wait no more. On the loop."""
        loop = self.loop()
        if loop is not None and self._close is not None and self._close.alive:
            loop.remove_reader(self._fd)
            self._close()

    def dismiss(self) -> None:
        """Have the loop wait no more, from any thread."""
        loop = self.loop()
        if self._close is None:
            return
        try:
            if loop is not None:
                loop.call_soon_threadsafe(self.leave)
                return
        except RuntimeError:
            pass  # the loop is closed
        self._close()

    def _called(self) -> None:
        pool = self._pool()  # held meanwhile: its end would wait for the supervisor, and that one for us
        if pool is None:
            self.leave()
        else:
            self._attendance.called(self)
