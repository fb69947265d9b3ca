"""One version of one file, fetched: in segments, in one stream, or the rest of what an earlier run had begun."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from crawler.download.answers.identity import Identity
from crawler.download.books import Books
from crawler.download.disk.journal import Piece
from crawler.download.disk.journal_file import JournalFile
from crawler.download.fault import Fault
from crawler.download.hand import Hand
from crawler.download.opening import Opened
from crawler.download.place import Left
from crawler.download.plan.plan import Order, Plan, piece_for
from crawler.download.plan.rescue import LOOK, MOST_STREAMS, is_unlucky
from crawler.download.plan.spans import Spans
from crawler.download.proof.discover import algorithms_for
from crawler.download.quiet import ended as gone
from crawler.download.quiet import first_of
from crawler.download.retry import Source
from crawler.download.segments import Segments
from crawler.download.spreading import Spreading
from crawler.download.tail import Tail
from crawler.download.values import FileProgress, ProgressSink
from crawler.download.worker.wire import Ended, Landed, Progress, Report
from pipelines.cpu import run_blocking
from pipelines.url import host_of

LEAD_BYTES = 256 << 20
"""What may be fetched ahead of the hash. It is on disk, not in memory; more would be read back from there."""
SHOW_SECONDS = 0.1


class Version:
    """The bytes of a file as it is now. Methods end with all of them on disk, or raise; the hash may be behind."""

    def __init__(self, books: Books, progress: ProgressSink | None) -> None:
        self._books = books
        self._progress = progress
        self._shown_at = 0.0
        self._written: Callable[[], int] = lambda: books.frontier
        self._loop = asyncio.get_running_loop()

    async def resumed(self, left: Left) -> int:
        """Fetch what an earlier run had not; return the size. Raises FileChanged, PartsRefused, GivenUp."""
        books, header = self._books, left.journal.header
        assert header.size is not None
        books.size = header.size
        books.identity = Identity(**header.identity)  # type: ignore[arg-type]  # proved by the journal
        books.pinner = books.sources.all[0]
        books.pinner.pinned = books.identity
        for piece in left.pieces:
            books.pieces[piece.first] = piece
        done = Spans((piece.first, piece.end) for piece in left.pieces)
        books.resumed_bytes = done.total
        self._follow(left.journal)
        plan = self._plan(header.size, done)
        segments = Segments(books, plan, self._hands(None), self._spreading(plan))
        segments.known(left.pieces)
        books.advance(plan.frontier)
        await self._drive(segments, plan, None)
        return header.size

    async def in_segments(self, opened: Opened, journal: JournalFile) -> int:
        """Fetch a file that is served in parts, the first of which is coming; return the size. Raises as `resumed`."""
        books, running = self._books, opened.running
        assert books.size is not None
        assert opened.end is not None
        self._follow(journal)
        plan = self._plan(books.size, Spans())
        order = plan.begun(0, opened.end, self._loop.time(), 0)
        segments = Segments(books, plan, self._hands(opened), self._spreading(plan))
        segments.adopt(running, order, opened.source)
        running.go(books.part, is_small=False)
        await self._drive(segments, plan, (order, opened.source))
        return books.size

    async def in_one(self, opened: Opened, journal: JournalFile, check: Callable[[int], None]) -> Ended:
        """Fetch a file that comes in one answer; return how that ended. `check` may raise when the size is known.

        A stream that crawls is given up as too slow where the next one may be luckier.
        """
        books, running = self._books, opened.running
        self._follow(journal)

        def heard(report: Report) -> None:
            if isinstance(report, Progress):
                books.advance(report.upto)
                self._show(1)
            elif isinstance(report, Landed):
                books.landed(Piece(report.first, report.end, report.crc, report.lead, report.tail))

        running.tell = heard
        books.segments = max(books.segments, 1)
        running.go(books.part, is_small=False)
        keeping = self._loop.create_task(books.keep_journal())
        looking = self._loop.create_task(self._crawls(opened))
        try:
            await first_of(keeping, running.ended, looking)
            if keeping.done():
                keeping.result()
            if looking.done():
                await running.stop()
            ended = await running.wait()
        finally:
            await gone(keeping, looking)
        if ended.fault == Fault.INTERRUPTED and not looking.cancelled():
            books.streams_left += 1
            ended = ended._replace(fault=Fault.TOO_SLOW, detail="other connections to the file were far faster")
        books.received(ended)
        if not ended.fault:
            size = max(ended.upto, 0)
            check(size)
            if books.size is None:
                await run_blocking(os.ftruncate, journal.fd, size)  # an attempt before may have been longer
            books.size = size
        return ended

    async def _crawls(self, opened: Opened) -> None:
        """Return when a stream is so slow that it is better asked for again; never, where that cannot be told."""
        books, source = self._books, opened.source
        may_leave = books.streams_left < MOST_STREAMS and source.failures < books.sources.terms.retries
        if not may_leave or opened.end is None or books.options.rate_limit is not None:
            await self._loop.create_future()
            return
        before = books.frontier
        while True:
            await asyncio.sleep(LOOK)
            rate = (books.frontier - before) / LOOK
            before = books.frontier
            if is_unlucky(rate, books.best_rate, opened.end - before):
                return

    def _plan(self, size: int, done: Spans) -> Plan:
        books, segments = self._books, self._books.options.segments
        known = None  # each place has its own
        if not books.is_spread:
            known = books.refusals.of(host_of(books.final_url), self._loop.time())
        return Plan(size, done, segments, piece_for(size, segments), LEAD_BYTES, known)

    def _spreading(self, plan: Plan) -> Spreading | None:
        return Spreading(self._books, plan) if self._books.is_spread else None

    def _hands(self, opened: Opened | None) -> tuple[Hand, ...]:
        """Choose the workers of this file: the one that has begun, then those with least to do."""
        hands = sorted(self._books.crew.hands, key=lambda hand: hand.load)
        if opened is not None:
            hands = [opened.hand, *(hand for hand in hands if hand is not opened.hand)]
        return tuple(hands[: self._books.options.processes_per_file])

    def _follow(self, journal: JournalFile) -> None:
        """Let a worker hash behind the frontier."""
        books = self._books
        books.journal, books.part = journal, str(journal.part)
        algorithms = algorithms_for(books.claims.values(), books.options.algorithms)
        books.tail = Tail(books.crew, books.part, algorithms, books.hash_moved)

    async def _drive(self, segments: Segments, plan: Plan, adopted: tuple[Order, Source] | None) -> None:
        """Fetch what is missing while the journal is kept."""
        books = self._books

        def hashed(upto: int) -> None:
            plan.hashed(upto)
            segments.wake()
            self._show(plan.active)

        books.on_moved = lambda: self._show(plan.active)
        self._written = lambda: plan.written
        books.on_hashed = hashed
        fetching = self._loop.create_task(segments.run(adopted, books.options.segments))
        keeping = self._loop.create_task(books.keep_journal())
        try:
            done, _ = await asyncio.wait([fetching, keeping], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await gone(fetching, keeping)

    def _show(self, connections: int) -> None:
        now = self._loop.time()
        if self._progress is None or now - self._shown_at < SHOW_SECONDS:
            return
        self._shown_at = now
        books = self._books
        self._progress(
            FileProgress(
                books.sources.all[0].url, books.path, books.size, self._written(), books.hashed, connections
            )
        )  # fmt: skip
