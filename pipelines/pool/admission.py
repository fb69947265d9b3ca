"""Who may send a task now: a bound on the tasks and on the bytes that are under way, kept by waiting.

First come, first served. Whoever is next in line takes the *turn*; only then is the call pickled, and the turn is kept
until its bytes fit. So however many wait, at most one of them holds a pickled call that has not been admitted, and a
large one is never overtaken for ever.

Used from any number of event loops and threads at once: all state is under one lock, and a waiter is woken on its own
loop. A loop that is paused or blocked does not answer; so the turn that it was given is taken back after a while, if
others wait, and its waiters step out of the line until it runs again. What such a loop keeps is its own: the place of
one call that was let in, and the results that it does not take. A ticket goes through its life in this order: turn (a
task counts) → fit (its bytes count) → arrived (the result's bytes count instead, the task no longer) → released, by the
one who took the result.
"""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

PATIENCE_SECONDS = 0.1
"""How long a loop may leave the turn unused while others wait."""


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

    __slots__ = ("future", "granted_at", "is_granted", "loop", "size", "ticket")

    def __init__(self, loop: asyncio.AbstractEventLoop, ticket: Ticket, size: int) -> None:
        self.loop = loop
        self.future: asyncio.Future[None] = loop.create_future()
        self.ticket = ticket
        self.size = size
        self.is_granted = False
        self.granted_at = 0.0  # monotonic seconds

    def grant(self) -> bool:
        """Wake it, from any thread; False when its loop is gone."""
        self.is_granted, self.granted_at = True, monotonic()
        try:
            self.loop.call_soon_threadsafe(self._wake)
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
        self._invited: _Waiter | None = None  # who has the turn and has not been seen since
        self._absent: dict[asyncio.AbstractEventLoop, list[_Waiter]] = {}  # of loops that did not answer
        self._watching: set[asyncio.AbstractEventLoop] = set()  # loops that look after the turn
        self._fitting: _Waiter | None = None  # who has the turn and waits for room
        self._is_open = False  # the pool takes nothing more: everybody may come and hear why

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._line) + (self._fitting is not None) + sum(map(len, self._absent.values()))

    async def turn(self) -> Ticket:
        """Wait until this caller is the next to send a task. Must be followed by `fit`, or by `leave`."""
        ticket = Ticket(self)
        with self._lock:
            if self._may_turn() and not self._line:
                self._take_turn()
                return ticket
            waiter = _waiter(ticket, 0)
            self._line.append(waiter)
            self._watch(waiter.loop)
        while True:
            try:
                await waiter.future
            except BaseException:
                with self._lock:
                    self._forget(waiter)
                raise
            with self._lock:
                if waiter.is_granted:
                    self._invited = None
                    return ticket
                waiter.future = waiter.loop.create_future()  # too late: the turn went to somebody else
                self._come_back(waiter.loop)

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
            self._invited = None
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
                self._invited = waiter

    def _forget(self, waiter: _Waiter) -> None:
        """A waiter was cancelled: it may be in the line, absent, or have the turn."""
        for line in (self._line, self._absent.get(waiter.loop, [])):
            if waiter in line:
                line.remove(waiter)
        if waiter.is_granted:
            self.leave(waiter.ticket)
        self._come_back(waiter.loop)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look after the turn from this loop, on which somebody waits; called on it."""
        if loop not in self._watching:
            self._watching = {other for other in self._watching if not other.is_closed()} | {loop}
            loop.call_later(PATIENCE_SECONDS, self._look_after, loop)

    def _look_after(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the turn back from a loop that leaves it unused; look again while somebody waits on this one."""
        with self._lock:
            self._watching.discard(loop)
            late = self._invited
            if late is not None and late.loop is not loop and monotonic() - late.granted_at > PATIENCE_SECONDS:
                late.is_granted, self._invited, self._is_taken = False, None, False
                self._absent[late.loop] = [late, *(waiter for waiter in self._line if waiter.loop is late.loop)]
                self._line = deque(waiter for waiter in self._line if waiter.loop is not late.loop)
                self.tasks -= 1  # it counts again when it is given the next turn
                self._advance()
            if any(waiter.loop is loop for waiter in self._line):
                self._watch(loop)

    def _come_back(self, loop: asyncio.AbstractEventLoop) -> None:
        """Put the waiters of a loop that runs again at the head of the line: they came first."""
        self._line.extendleft(reversed(self._absent.pop(loop, [])))
        self._advance()


def _waiter(ticket: Ticket, size: int) -> _Waiter:
    from asyncio import get_running_loop  # only here: those who never wait need not import it

    return _Waiter(get_running_loop(), ticket, size)
