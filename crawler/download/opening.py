"""The first request of a file: from it everything else is learnt. It asks for the first piece, and is kept.

There is no request to look before (HEAD, or a range of one byte): servers answer these in other ways than the request
that counts. A small file is there when the first answer is.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import NamedTuple

from crawler.download.answers.identity import Identity
from crawler.download.books import Books
from crawler.download.fault import Fault
from crawler.download.hand import Hand, Running
from crawler.download.retry import Failure, GivenUp, Source
from crawler.download.worker.wire import END_UNKNOWN, TAKEN, Arrived, Aside, Ended, Fetch, Head, Report, Solo

FIRST_BYTES = 4 << 20
"""What the first request asks for: at least a few milliseconds of a fast line, nothing to regret on a slow one."""


class RedirectSeen(Exception):
    """A redirect that the caller wants to decide about."""

    def __init__(self, target: str, status: int) -> None:
        super().__init__(target)
        self.target, self.status = target, status


class Opened(NamedTuple):
    """A file whose first answer is there; its body waits, or is small and coming."""

    source: Source
    hand: Hand
    running: Running
    head: Head

    @property
    def total(self) -> int | None:
        """Bytes of the whole file, if the answer tells."""
        return Identity(*self.head.identity).size if self.head.is_part else self.end

    @property
    def end(self) -> int | None:
        """Where this answer ends."""
        return None if self.head.end == END_UNKNOWN else self.head.end

    @property
    def identity(self) -> Identity:
        """What the answer says the file is."""
        return Identity(*self.head.identity)


class Opening:
    """Asks one place after another until one answers."""

    def __init__(self, books: Books, *, is_reporting: bool, is_curious: bool = True) -> None:
        """`is_reporting`: redirects are not followed but raised as RedirectSeen. `is_curious`: ask for a digest."""
        self._books = books
        self._is_reporting = is_reporting
        self._is_curious = is_curious and not books.is_digest_known
        self._loop = asyncio.get_running_loop()

    async def open(self, small: str, hashes: tuple[str, ...], *, is_single: bool) -> Opened:
        """Return the first usable answer. Raises GivenUp, RedirectSeen.

        `small`: where a worker may put a small file at once, empty to be asked. `is_single`: ask for all of it.
        """
        opened = await self.done_or_opened(small, hashes, is_single=is_single)
        assert isinstance(opened, Opened), "no worker was to do it alone"
        return opened

    async def done_or_opened(
        self, small: str, hashes: tuple[str, ...], *, is_single: bool, solo: Callable[[Source], Solo] | None = None
    ) -> Opened | Ended:
        """As `open`; but where `solo` lets a worker do a small file alone, this may return the end of the order.

        That has a receipt, or TAKEN in place of a fault. `solo` is asked before each request.
        """
        while True:
            source = await self._books.place()
            url = source.at
            found = await self._ask(source, small, hashes, is_single=is_single, solo=solo)
            if isinstance(found, Opened) or found.receipt is not None or found.fault == TAKEN:
                return found
            self.failed(source, url, found)

    async def _ask(
        self,
        source: Source,
        small: str,
        hashes: tuple[str, ...],
        *,
        is_single: bool,
        solo: Callable[[Source], Solo] | None,
    ) -> Opened | Ended:
        books, url = self._books, source.at
        await books.gate.enter(url)
        inside = [url]  # until the request is over
        running: Running | None = None
        try:
            hand = await books.crew.hand()
            answer: asyncio.Future[Head | Ended] = self._loop.create_future()
            order = Fetch(
                books.crew.new_order(), books.file, "", url, 0, END_UNKNOWN if is_single else FIRST_BYTES, 0, None,
                small, hashes, wants_digest=self._is_curious, silence=source.silence(books.sources.terms),
                solo=None if solo is None else tuple(solo(source)),
            )  # fmt: skip
            running = hand.begin(order, self._listener(url, answer, inside))

            def over(ended: asyncio.Future[Ended]) -> None:
                self._leave(inside)
                if not answer.done():
                    answer.set_result(ended.result())

            running.ended.add_done_callback(over)
            try:
                found = await answer
            except asyncio.CancelledError:
                await running.stop()
                raise
            if isinstance(found, Head):
                return Opened(source, hand, running, found)
            books.received(found)
            return found
        finally:
            if running is None:
                self._leave(inside)

    def _leave(self, inside: list[str]) -> None:
        """Give the slot back, if that was not done before."""
        while inside:
            self._books.gate.leave(inside.pop())

    def _listener(self, url: str, answer: asyncio.Future[Head | Ended], inside: list[str]) -> Callable[[Report], None]:
        def tell(report: Report) -> None:
            if isinstance(report, Arrived):
                self._leave(inside)
            elif isinstance(report, Aside):
                self._books.aside(url, report)
            elif isinstance(report, Head) and not answer.done():
                answer.set_result(report)

        return tell

    def failed(self, source: Source, asked: str, ended: Ended) -> None:
        """Decide what a failed first request means. Raises GivenUp, RedirectSeen."""
        fault = Fault(ended.fault)
        self._is_curious &= bool(ended.target)  # a server that computes it only now may be silent for too long
        if fault in (Fault.NO_SPACE, Fault.DISK, Fault.INTERNAL, Fault.INTERRUPTED):
            raise GivenUp(fault, ended.detail)
        if ended.target:
            if self._is_reporting:
                raise RedirectSeen(ended.target, ended.status)
            source.redirected(asked, ended.target)
            return
        self._books.retries += 1
        if ended.is_refusal:
            self._books.refused(asked, ended)
        if fault is Fault.RATE_LIMITED or ended.status == 503:
            self._books.gate.slow_down(source.at, ended.retry_after)
        failure = Failure(fault, ended.detail, ended.status, ended.retry_after)
        jitter = random.random()  # noqa: S311 - spreads retries, guards nothing
        source.failed(asked, failure, self._loop.time(), self._books.sources.terms, jitter)
