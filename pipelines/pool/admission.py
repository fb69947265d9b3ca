"""Who may send a task now: a bound on the tasks and on the bytes that are under way, kept by waiting.

First come, first served. Whoever is next in line takes the *turn*; only then is the call pickled, and the turn is kept
until its bytes fit. So however many wait, at most one of them holds a pickled call that has not been admitted, and a
large one is never overtaken for ever.

Used from any number of event loops and threads at once: all state is under one lock, and a waiter is woken on its own
loop. A ticket goes through its life in this order: turn (a task counts) → fit (its bytes count) → arrived (the result's
bytes count instead, the task no longer) → released, by the one who took the result.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class Ticket:
    """The right of one task to be under way. Ends with `release`, which must be called."""

    __slots__ = ("_admission", "has_slot", "size")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.has_slot = True
        self.size = 0  # bytes that count

    def arrived(self, size: int) -> None:
        """Count the result's bytes instead of the call's; the place of the task is free."""
        self._admission.change(self, has_slot=False, size=size)

    def release(self) -> None:
        """Count nothing any more."""
        self._admission.change(self, has_slot=False, size=0)


class _Waiter:
    """A coroutine that waits for its turn, or for its bytes to fit."""

    __slots__ = ("_loop", "future", "is_granted", "size", "ticket")

    def __init__(self, loop: asyncio.AbstractEventLoop, ticket: Ticket, size: int) -> None:
        self._loop = loop
        self.future: asyncio.Future[None] = loop.create_future()
        self.ticket = ticket
        self.size = size
        self.is_granted = False

    def grant(self) -> bool:
        """Wake it, from any thread; False when its loop is gone."""
        self.is_granted = True
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # the loop is closed
            self.is_granted = False
        return self.is_granted

    def _wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class Admission:
    """Counts what is under way. `max_bytes` bounds pickled calls and the results that nobody has taken yet.

    One call that is larger than all of `max_bytes` is admitted when nothing else counts.
    """

    def __init__(self, max_tasks: int, max_bytes: int) -> None:
        if max_tasks < 1 or max_bytes < 1:
            raise ValueError(f"max_tasks, max_bytes: expected at least 1, got {max_tasks} and {max_bytes}")
        self.max_tasks, self.max_bytes = max_tasks, max_bytes
        self.tasks = self.bytes = 0
        self._lock = threading.RLock()  # the garbage collector may end a waiting coroutine anywhere
        self._line: deque[_Waiter] = deque()
        self._is_taken = False  # the turn
        self._fitting: _Waiter | None = None  # who has the turn and waits for room
        self._is_open = False  # the pool takes nothing more: everybody may come and hear why

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._line) + (self._fitting is not None)

    async def turn(self) -> Ticket:
        """Wait until this caller is the next to send a task. Must be followed by `fit`, or by `leave`."""
        ticket = Ticket(self)
        with self._lock:
            if self._may_turn() and not self._line:
                self._take_turn()
                return ticket
            waiter = _waiter(ticket, 0)
            self._line.append(waiter)
        try:
            await waiter.future
        except BaseException:
            with self._lock:
                if waiter in self._line:
                    self._line.remove(waiter)
            if waiter.is_granted:
                self.leave(ticket)
            raise
        return ticket

    async def fit(self, ticket: Ticket, size: int) -> None:
        """Wait until `size` bytes fit, then pass the turn on."""
        with self._lock:
            if self._fits(size):
                self._count(ticket, size)
                return
            waiter = self._fitting = _waiter(ticket, size)
        try:
            await waiter.future
        except BaseException:
            with self._lock:
                if not waiter.is_granted:
                    self._fitting = None
                    self._is_taken = False
            ticket.release()
            raise

    def leave(self, ticket: Ticket) -> None:
        """Give the turn up instead of `fit`."""
        with self._lock:
            self._is_taken = False
        ticket.release()

    def change(self, ticket: Ticket, *, has_slot: bool, size: int) -> None:
        """Change what a ticket counts for, and let in who fits now."""
        with self._lock:
            if ticket.has_slot and not has_slot:
                ticket.has_slot = False
                self.tasks -= 1
            self.bytes += size - ticket.size
            ticket.size = size
            self._advance()

    def open(self) -> None:
        """Let everybody in, now and from now on: the pool will tell them that it takes nothing."""
        with self._lock:
            self._is_open = True
            self._advance()

    def _may_turn(self) -> bool:
        return self._is_open or (not self._is_taken and self.tasks < self.max_tasks)

    def _take_turn(self) -> None:
        self._is_taken = True
        self.tasks += 1

    def _fits(self, size: int) -> bool:
        return self._is_open or self.bytes == 0 or self.bytes + size <= self.max_bytes

    def _count(self, ticket: Ticket, size: int) -> None:
        ticket.size = size
        self.bytes += size
        self._is_taken = False
        self._advance()

    def _advance(self) -> None:
        waiter = self._fitting
        if waiter is not None and self._fits(waiter.size):
            self._fitting = None
            self._is_taken = False
            waiter.ticket.size = waiter.size
            self.bytes += waiter.size
            waiter.grant()  # if its loop is gone, so is the coroutine, and its ticket was released with it
        while self._line and self._may_turn():
            waiter = self._line.popleft()
            if waiter.grant():
                self._take_turn()


def _waiter(ticket: Ticket, size: int) -> _Waiter:
    from asyncio import get_running_loop  # only here: those who never wait need not import it

    return _Waiter(get_running_loop(), ticket, size)
