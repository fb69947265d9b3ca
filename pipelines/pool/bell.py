"""Wakes those who wait on an event loop, all of a burst at once.

Every `call_soon_threadsafe` is a write to the loop's pipe and one more wait for the interpreter lock. While a call is
on its way to a loop, others that are done by then go with it.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import asyncio


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, if any; without importing asyncio for those who do not use it."""
    events = sys.modules.get("asyncio.events")
    return None if events is None else events._get_running_loop()  # noqa: SLF001  # the public one raises, which is slow


class Bell:
    """One for a loop. It does not hold the loop."""

    def __init__(self) -> None:
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._is_rung = threading.Lock()  # held while the loop has a call of `_answer` before it

    def ring(self, loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None]) -> None:
        """Have `waiter` set, from any thread; nobody waits any more on a loop that is closed."""
        if running_loop() is loop:  # which took the answer itself: see attendance.py
            if not waiter.done():
                waiter.set_result(None)
            return
        self._waiters.append(waiter)  # before the look at the lock: whoever holds it has not begun to answer
        if self._is_rung.acquire(blocking=False):
            try:
                loop.call_soon_threadsafe(self._answer)
            except RuntimeError:  # the loop is closed
                self._is_rung.release()
                self._waiters.clear()

    def _answer(self) -> None:
        self._is_rung.release()  # first: who comes from now on rings again
        waiters = self._waiters
        while waiters:
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)


_bells: WeakKeyDictionary[asyncio.AbstractEventLoop, Bell] = WeakKeyDictionary()


def bell_of(loop: asyncio.AbstractEventLoop) -> Bell:
    """Return the bell of a loop; called on it."""
    bell = _bells.get(loop)
    if bell is None:
        bell = _bells[loop] = Bell()
    return bell
