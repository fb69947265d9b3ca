"""The bytes of one answer, taken as they come: counted, paid for, kept in memory or written to their place."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from crawler.download.fault import Fault
from crawler.download.worker.landing import Landing
from crawler.download.worker.limiter import Limiter
from crawler.download.worker.trouble import Trouble
from crawler.download.worker.wire import Progress, Report
from crawler.fetch.stream import Answer

TELL_BYTES = 1 << 20
TELL_SECONDS = 0.1
NAP_SECONDS = 0.5  # the longest wait in one piece, after which the watch is told that we are to blame


class Intake:
    """What one order takes. `promised` is what the head of its answer said of its length; None: nothing."""

    def __init__(self, number: int, limiter: Limiter, tell: Callable[[Report], None]) -> None:
        """`number`: the order's, for what is told of its progress."""
        self.received = 0
        """Bytes that came off the wire."""
        self.kept: list[bytes] = []
        """Those in memory."""
        self.is_good = True
        """Whether what was written may count; not when the answer turned out to be a lie."""
        self._number = number
        self._limiter = limiter
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._told = self._told_at = 0.0

    async def gather(self, answer: Answer, promised: int | None) -> None:
        """Keep a small file, of which nobody else has a part: no checksums of its ends are needed."""
        while data := await answer.read():
            self._count(len(data), promised)
            self.kept.append(data)
            await self._pay(answer, len(data))

    async def keep(self, answer: Answer, run: Landing, promised: int | None) -> None:
        """Keep what belongs to `run` in memory."""
        while not self._is_enough(run, promised) and (data := await answer.read()):
            self._count(len(data), promised)
            slot = run.take(data)
            if slot is not None:
                self.kept.append(bytes(slot.data))
            await self._pay(answer, len(data))

    async def write(self, answer: Answer, run: Landing, fd: int, promised: int | None) -> None:
        """Write what belongs to `run` to its place in a file. Raises OSError, Trouble."""
        if self._limiter.is_unlimited:
            await self._pour(answer, run, fd, promised)
            return
        while not self._is_enough(run, promised) and (data := await answer.read()):
            self._put(run, fd, data, promised)
            await self._pay(answer, len(data))

    async def _pour(self, answer: Answer, run: Landing, fd: int, promised: int | None) -> None:
        """Write in the moment in which bytes come: no task is woken for them."""
        trouble: Exception | None = None

        def sink(data: bytes) -> bool:
            nonlocal trouble
            try:
                self._put(run, fd, data, promised)
            except (OSError, Trouble) as error:
                trouble = error
                return False
            return not self._is_enough(run, promised)

        await answer.pour(sink)
        if trouble is not None:
            raise trouble

    def _put(self, run: Landing, fd: int, data: bytes, promised: int | None) -> None:
        self._count(len(data), promised)
        slot = run.take(data)
        if slot is not None:
            write(fd, slot.data, slot.offset)
            self._report(run)

    def _count(self, size: int, promised: int | None) -> None:
        self.received += size
        if promised is not None and self.received > promised:
            self.is_good = False
            raise Trouble(Fault.EXCESS_BODY, f"more than the {promised} bytes that were promised")

    def _is_enough(self, run: Landing, promised: int | None) -> bool:
        """Tell whether what is still to come is not ours: the order was cut, or the server sends larger blocks."""
        return run.is_full and run.end != promised and (promised is None or self.received < promised)

    def _report(self, run: Landing) -> None:
        now = self._loop.time()
        if run.at - self._told >= TELL_BYTES or now - self._told_at >= TELL_SECONDS:
            self._told, self._told_at = run.at, now
            self._tell(Progress(self._number, run.at))

    async def _pay(self, answer: Answer, size: int) -> None:
        """Wait as the rate asks, in short pieces, since the watch takes a pause for the server's."""
        wait = self._limiter.take(size, self._loop.time())
        while wait > 0:
            await asyncio.sleep(min(wait, NAP_SECONDS))
            wait -= NAP_SECONDS
            answer.touch()


def write(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of it. A slow disk holds up this loop, so that no more is received than can be written."""
    written = os.pwrite(fd, data, offset)
    while written < len(data):  # D79
        written += os.pwrite(fd, memoryview(data)[written:], offset + written)
