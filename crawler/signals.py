"""Signals as requests to stop, from the first moment of the process to its last.

The first signal asks for a drain, the second for an end at once. If an end at once is not there within a second,
because a disk or a terminal hangs, the process ends as by `kill -9`, which the state survives at any instant. Stages:

    starting   nothing is under way yet: the first signal ends the process, and says so
    held       between start-up and the first page, and while closing: a signal is noted
    steering   signals are told to the crawl, in its event loop
    settled    the result is on disk and said: a signal ends the process with the exit code that is true

SIGHUP, which a closed terminal sends, is as SIGTERM, but never the second one: shell and kernel both send it. A signal
that was ignored when the process began stays ignored: `nohup crawl` survives its terminal.

No handler ever raises. An exception at an arbitrary instruction ends in whatever that instruction belongs to: a library
that wraps it, or the C code of one that is being imported and never thought of it (orjson's ends in a segmentation
fault).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Any

from crawler.errors import ExitCode

if TYPE_CHECKING:
    import asyncio

SAME_SECONDS = 0.1
"""Signals this close are one request: timeout(1) sends SIGTERM to its child and then to the group the child is in."""
LAST_SECONDS = 0.8
"""What an end at once may take."""

_CODES = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGHUP: ExitCode.TERMINATED,
}


class Signals:
    """The handlers of one process. Install them once, in the main thread.

    `say` gets the line that tells of an end before anything was under way.
    """

    def __init__(self, say: Callable[[str], None] = print) -> None:
        self._say = say
        self.code: ExitCode | None = None
        """What the first signal means; None before."""
        self.name = ""
        """The first signal, as a person knows it."""
        self._first_at = 0.0
        self._is_hurried = False
        self._settled: int | None = None
        self._tell: Callable[[bool], None] | None = None

    def install(self) -> None:
        """Take over SIGINT, SIGTERM and SIGHUP, unless they are ignored."""
        for number in _CODES:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._received)

    def hold(self) -> None:
        """From now on a signal is only noted."""
        self._tell = _note

    @contextmanager
    def steering(self, loop: asyncio.AbstractEventLoop, tell: Callable[[bool], None]) -> Iterator[None]:
        """Call `tell(hurry)` in the loop for each request to stop, also for one that came before; hold afterwards."""
        self._tell = lambda hurry: _call(loop, tell, hurry)
        if self.code is not None:
            tell(False)
        try:
            yield
        finally:
            self._tell = _note

    async def cancelling(self, work: Coroutine[Any, Any, int], stopped: Callable[[], None]) -> int:
        """Return what `work` returns; the first signal cancels it, and then `stopped` is called and its code returned.

        The second one is an end at once, as by `kill -9`. A signal that comes when the work is done changes nothing.
        """
        import asyncio

        task = asyncio.ensure_future(work)

        def stop(hurry: bool) -> None:
            if hurry:
                os._exit(self.code if self.code is not None else ExitCode.INTERNAL)
            task.cancel()

        with self.steering(asyncio.get_running_loop(), stop):
            try:
                return await task
            except asyncio.CancelledError:
                if self.code is None:
                    raise
                stopped()
                return self.code

    def settle(self, code: int) -> None:
        """Note that all is done but the exit."""
        self._settled = code

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self._settled is not None:
            os._exit(self._settled)
        now = monotonic()
        if self.code is None:
            self.code = _CODES[signal.Signals(number)]
            self.name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
            self._first_at = now
            if self._tell is None:
                self._say(f"crawl: {self.name} before anything began; nothing was changed")
                os._exit(self.code)
            self._tell(False)
        elif number != signal.SIGHUP and now - self._first_at >= SAME_SECONDS and not self._is_hurried:
            self._is_hurried = True
            assert self._tell is not None, "there was a first one, and it did not end the process"
            self._end_soon(self.code)
            self._tell(True)

    def _end_soon(self, code: int) -> None:
        from threading import Timer

        timer = Timer(LAST_SECONDS, lambda: os._exit(code if self._settled is None else self._settled))
        timer.daemon = True
        timer.start()


def _note(hurry: bool) -> None:
    pass


def _call(loop: asyncio.AbstractEventLoop, tell: Callable[[bool], None], hurry: bool) -> None:
    loop.call_soon_threadsafe(tell, hurry)
