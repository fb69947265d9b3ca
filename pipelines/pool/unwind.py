"""How a task that still runs when its pool closes is made to end: SystemExit, raised where it stands.

The parent hangs up on the private socket first and then sends SIGTERM to wake the task. The signal alone means nothing:
Ctrl-C, `docker stop` and systemd signal the whole group, and whether to end is for the parent to say.

It is raised once, so that no `finally` block is interrupted by it, and never while a frame is being sent, which would
then be cut in two. Whoever does not end, the parent kills. Imported by a bare interpreter: no heavy imports here.
"""

from __future__ import annotations

import os
import select
from _thread import get_ident
from collections.abc import Callable

POLLRDHUP = getattr(
    select, "POLLRDHUP", 0
)  # Linux 2.6.17; elsewhere nobody unwinds, and the kill comes after the grace


class Unwinding:
    """Around a task, in the main thread of a worker: the place where it can be made to end."""

    def __init__(self, fd: int, tell: Callable[[dict[str, object]], None]) -> None:
        """`fd`: the socket to the parent; `tell`: sends a log record through it."""
        self._tell = tell
        self._poll = select.poll()
        self._poll.register(fd, POLLRDHUP)
        self._owner, self._main = os.getpid(), get_ident()
        self._is_asked = self._is_running = self._is_telling = False

    def __enter__(self) -> None:
        self._is_running = True
        self._end()  # it was asked after it had claimed the task

    def __exit__(self, *_: object) -> None:
        self._is_running = False

    def signalled(self, _signum: int, _frame: object) -> None:
        """Handle SIGTERM: end the task if the parent has hung up; nothing else, nor in a fork of the worker."""
        if os.getpid() == self._owner and any(mask & POLLRDHUP for _, mask in self._poll.poll(0)):
            self._is_asked = True
            self._end()

    def tell(self, fields: dict[str, object]) -> None:
        """Send a log record, and be interrupted after it rather than in it."""
        if get_ident() != self._main:
            self._tell(fields)
            return
        self._is_telling = True
        try:
            self._tell(fields)
        finally:
            self._is_telling = False
            self._end()

    def _end(self) -> None:
        if self._is_asked and self._is_running and not self._is_telling:
            self._is_running = False
            raise SystemExit("the pool was closed")
