"""A file of known size over several connections: asks the plan what to do next, has it done, tells the plan what came.

One lane is one connection's place: it fetches order after order until the file is complete. What a lane does depends on
the plan alone; what goes wrong is the business of `Sources`, which says where to go on, and when, or gives up.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import assert_never

from crawler.download.answers.identity import Identity
from crawler.download.blame import Blame
from crawler.download.books import Books
from crawler.download.changes import FileChanged
from crawler.download.disk.journal import Piece
from crawler.download.fault import Fault
from crawler.download.hand import Hand, Running
from crawler.download.plan.plan import POLL, Hedge, Order, Plan, Steal
from crawler.download.plan.seams import OVERLAP, Mismatch, Seams
from crawler.download.retry import Source
from crawler.download.spreading import Spreading
from crawler.download.worker.wire import (
    END_UNKNOWN,
    Cut,
    Ended,
    Fetch,
    Head,
    Held,
    Landed,
    Progress,
    Report,
    Stop,
    WasCut,
    Write,
)  # fmt: skip
from pipelines.url import host_of

MAX_SEAM_FAULTS = 4
"""Borders that did not fit, after which the file counts as another one."""


class Segments:
    """The fetching of one version of one file. `run` returns when all its bytes are in the temporary file."""

    def __init__(self, books: Books, plan: Plan, hands: tuple[Hand, ...], spreading: Spreading | None = None) -> None:
        """`hands`: the workers to use first; others when these die. `spreading`: where there are several places."""
        self._books = books
        self._plan = plan
        self._hands = hands
        self._seams = Seams()
        self._seam_faults = 0
        self._spreading = spreading
        self._blame = Blame(books, spreading)
        self._doomed: set[int] = set()
        self._rejected: set[int] = set()
        """Orders of places that are not to be trusted: nothing of them counts."""
        self._by: dict[int, Source] = {}
        """Where an order is fetched."""
        self._raced: dict[int, Source] = {}
        """Where the order is fetched that a hedge races."""
        self._running: dict[int, Running] = {}
        self._cuts: dict[int, asyncio.Future[Order | None]] = {}
        self._held: dict[int, asyncio.Future[bool]] = {}
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def adopt(self, running: Running, order: Order, source: Source) -> None:
        """Take over a request that was made before there was a plan."""
        running.tell = partial(self._heard, order.id, source)
        self._running[order.id] = running
        self._by[order.id] = source
        if (spreading := self._spreading) is not None:
            spreading.entered(source)
            running.ended.add_done_callback(lambda _: spreading.left(source))
        self._books.segments = max(self._books.segments, 1)

    def known(self, pieces: tuple[Piece, ...]) -> None:
        """Note what an earlier run left: its borders are compared as well."""
        for piece in pieces:
            self._seams.landed(piece.first, piece.end, piece.lead, piece.tail)

    async def run(self, adopted: tuple[Order, Source] | None, lanes: int) -> None:
        """Fetch all that is missing. Raises FileChanged, PartsRefused, GivenUp; what came until then is noted."""
        tasks = [
            self._loop.create_task(self._lane(number, adopted if number == 0 else None)) for number in range(lanes)
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                _ = task.cancelled() or task.exception()  # seen: the first one was raised

    def wake(self) -> None:
        """Let idle lanes look again: there may be something to do."""
        self._changed.set()
        self._changed.clear()

    # -- lanes

    async def _lane(self, lane: int, adopted: tuple[Order, Source] | None) -> None:
        if adopted is not None:
            await self._perform(*adopted)
        plan, spreading = self._plan, self._spreading
        while not plan.is_complete:
            key = lane if spreading is None else spreading.key(lane)
            if key is None:
                await self._idle()
                continue
            now = self._loop.time()
            order = plan.take(now, key)
            if order is not None:
                await self._fetch(order, lane)
                continue
            rescue = plan.rescue(now, key)
            match rescue:
                case Steal():
                    await self._steal(rescue, lane)
                case Hedge():
                    await self._hedge(rescue, lane)
                case None:
                    await self._idle()
                case _:
                    assert_never(rescue)

    async def _idle(self) -> None:
        try:
            async with asyncio.timeout(POLL):
                await self._changed.wait()
        except TimeoutError:
            return  # a stall is no event: look again

    async def _turn(self, lane: int, avoid: Source | None = None) -> tuple[Source, str]:
        """Wait for a turn at the best place there is; return it, and what was entered for `_leave`. Raises GivenUp."""
        if self._spreading is not None:
            return await self._spreading.turn(lane, avoid)
        source = await self._books.place()
        url = source.at
        await self._books.gate.enter(url)
        return source, url

    def _leave(self, source: Source, url: str) -> None:
        self._books.gate.leave(url)
        if self._spreading is not None:
            self._spreading.left(source)

    async def _fetch(self, order: Order, lane: int) -> None:
        """Have an order done, at the best place there is."""
        try:
            source, url = await self._turn(lane)
        except BaseException:
            self._void(self._plan.failed(order.id, order.first, self._loop.time()))
            raise
        try:
            if not await self._begin(order, source, url):
                return
            await self._perform(order, source)
        finally:
            self._leave(source, url)

    async def _begin(self, order: Order, source: Source, url: str, *, is_held: bool = False) -> bool:
        """Give an order, as it is now, to a worker; False when it is void by now."""
        self._hands = self._books.crew.team(self._hands, self._books.options.processes_per_file)
        hand = await self._books.crew.hand(self._hands)
        now = self._plan.order(order.id)  # it may have been cut, or rescued, while it waited
        if now is None or now.first >= now.end:
            return False
        books = self._books
        fetch = Fetch(
            books.crew.new_order(), books.file, books.part, url, now.first, now.end,
            min(OVERLAP, now.first), tuple(self._pinned(source)), is_held=is_held, is_matched=source.is_matched,
            silence=source.silence(books.sources.terms),
        )  # fmt: skip
        self._plan.sent(order.id, self._loop.time())
        self._by[order.id] = source
        self._running[order.id] = hand.begin(fetch, partial(self._heard, order.id, source))
        books.segments = max(books.segments, len(self._running))
        return True

    async def _perform(self, order: Order, source: Source) -> None:
        """Wait for the end of an order and tell everybody what it came to."""
        running = self._running[order.id]
        try:
            ended = await running.wait()
        finally:
            del self._running[order.id]
            others = self._others(running.url)
            if running.ended.done():
                ended = running.ended.result()
                seconds = self._loop.time() - running.began
                self._books.reached(ended.received, seconds)
                if self._spreading is not None:
                    self._spreading.ended(source, ended, seconds)
                self._settle(order, ended, source, others)
            self.wake()
        if self._seam_faults >= MAX_SEAM_FAULTS:
            raise FileChanged("pieces do not fit together")
        if order.id not in self._rejected and not self._differs(order, ended, source):
            self._blame.judge(ended, source, running, is_crowded=others > 0)

    def _differs(self, order: Order, ended: Ended, source: Source) -> bool:
        """Drop what came of a place whose bytes a hedge did not find right; False where that cannot be told."""
        if self._spreading is None or ended.fault != Fault.SEAM_MISMATCH:
            return False
        wrong = self._spreading.blamed([self._raced.get(order.id, source), source])
        self._books.retries += bool(wrong)
        self._without(wrong)
        return bool(wrong)

    def _others(self, url: str) -> int:
        """Return how many orders are under way beside one that ended; at the same host, where there are several."""
        if self._spreading is None:
            return len(self._running)
        return sum(host_of(other.url) == host_of(url) for other in self._running.values())

    def _pinned(self, source: Source) -> Identity:
        return source.pinned if source.pinned is not None else Identity(self._plan.size)

    # -- rescue

    async def _steal(self, steal: Steal, lane: int) -> None:
        """Have the victim cut, and begin where it really ends."""
        running = self._running.get(steal.victim)
        if running is None:  # it waits for its turn and has written nothing
            order = self._plan.cut_applied(steal.victim, steal.cut)
        else:
            future: asyncio.Future[Order | None] = self._loop.create_future()
            self._cuts[steal.victim] = future
            running.send(Cut(running.id, steal.cut))
            try:
                order = await future
            finally:
                if self._cuts.get(steal.victim) is future:  # else the victim is being cut once more, for another lane
                    del self._cuts[steal.victim]
        if order is not None:
            await self._fetch(order, lane)

    async def _hedge(self, hedge: Hedge, lane: int) -> None:
        """Fetch the rest of a slow order a second time, into memory; whoever has it first has it written."""
        order = hedge.order
        held: asyncio.Future[bool] = self._loop.create_future()
        self._held[order.id] = held
        try:
            source, url = await self._turn(lane, self._by.get(hedge.of))
        except BaseException:
            del self._held[order.id]
            self._void(self._plan.failed(order.id, order.first, self._loop.time()))
            raise
        try:
            if not await self._begin(order, source, url, is_held=True):
                return
            running = self._running[order.id]
            self._raced[order.id] = self._by.get(hedge.of, source)
            writing = self._loop.create_task(self._write(order.id, running, held))
            try:
                await self._perform(order, source)
            finally:
                writing.cancel()
                await asyncio.wait([writing])
        finally:
            del self._held[order.id]
            self._leave(source, url)

    async def _write(self, number: int, running: Running, held: asyncio.Future[bool]) -> None:
        """Once the hedge has its bytes: stop its rival, then let it write what the rival had not."""
        await held
        rival = self._plan.rival(number)
        other = self._running.get(rival) if rival is not None else None
        if other is not None:
            other.send(Stop(other.id))
            await asyncio.wait([other.ended])
            await asyncio.sleep(0)  # its lane settles it first
        elif rival is not None and (waiting := self._plan.order(rival)) is not None:  # it has not begun
            self._void(self._plan.failed(rival, waiting.first, self._loop.time()))
        order = self._plan.order(number)
        running.send(Write(running.id, order is not None, order.first if order is not None else 0))

    # -- reports

    def _heard(self, number: int, source: Source, report: Report) -> None:
        now = self._loop.time()
        if number in self._rejected and isinstance(report, Progress | Landed):
            return
        match report:
            case Progress():
                self._plan.progress(number, report.upto, now)
                source.moved()
                self._books.advance(self._plan.frontier)
            case Landed():
                self._landed(number, report)
            case Head():
                self._met(number, source, report)
            case WasCut():
                order = self._plan.cut_applied(number, report.end)
                future = self._cuts.get(number)
                if future is not None and not future.done():
                    future.set_result(order)
            case Held():
                held = self._held.get(number)
                if held is not None and not held.done():
                    held.set_result(True)

    def _met(self, number: int, source: Source, head: Head) -> None:
        """Pin what a place says of the file, the first time it says something."""
        spreading = self._spreading
        if spreading is None or source is self._books.pinner:  # what a mirror announces may be of another version
            self._books.announced(source, head)
        if spreading is not None and not spreading.is_usable(source, head):
            self._reject(number)
            return
        if source.pinned is None:
            source.met(Identity(*head.identity))

    def _landed(self, number: int, report: Landed) -> None:
        """Enter a run into the books, unless its edges do not fit what is there."""
        if number in self._doomed or self._plan.order(number) is None:
            return
        mismatches = self._seams.landed(report.first, report.end, report.lead, report.tail)
        self._books.landed(Piece(report.first, report.end, report.crc, report.lead, report.tail))
        spreading, source = self._spreading, self._by.get(number)
        if spreading is not None and source is not None:
            spreading.landed(source, report.first, report.end)
            if not mismatches:
                spreading.fits(source, report.first, self._seams)
        for mismatch in mismatches:
            self._unfit(mismatch)

    def _unfit(self, mismatch: Mismatch) -> None:
        """Drop what one place brought that has something else; where that cannot be told, both sides of the border."""
        wrong = [] if self._spreading is None else self._spreading.to_blame(mismatch)
        self._without(wrong)
        if not wrong:
            self._seam_faults += 1
            self._drop(mismatch.first, mismatch.end)

    def _without(self, wrong: list[Source]) -> None:
        """Drop all that these places brought, or are bringing."""
        if self._spreading is None:
            return
        for number in [number for number in self._running if self._by[number] in wrong]:
            self._reject(number)
        for first, end in self._spreading.rejected(wrong):
            self._drop(first, end)

    def _reject(self, number: int) -> None:
        """Stop an order; nothing of it counts."""
        self._rejected.add(number)
        running = self._running[number]
        running.send(Stop(running.id))

    def _drop(self, first: int, end: int) -> None:
        """Have bytes fetched again."""
        self._seams.forget(first, end)
        self._books.dropped(first, end)
        if self._spreading is not None:
            self._spreading.dropped(first, end)
        doomed = self._plan.discard(first, end)
        self._doomed.update(doomed)
        self._void(doomed)
        self._books.advance(self._plan.frontier)  # the hash begins again before anything is fetched anew

    def _settle(self, order: Order, ended: Ended, source: Source, others: int) -> None:
        """Tell the plan how an order ended."""
        plan, now = self._plan, self._loop.time()
        self._books.received(ended)
        current = plan.order(order.id)
        future = self._cuts.get(order.id)
        if future is not None and not future.done():
            future.set_result(None)
        if current is None:
            return  # void: somebody else has its bytes
        if order.id in self._rejected:
            self._void(plan.failed(order.id, current.first, now))
        elif ended.upto != END_UNKNOWN and ended.upto >= current.end and ended.fault in ("", Fault.INTERRUPTED):
            self._void(plan.landed(order.id, now))
        elif ended.is_refusal and others and self._spreading is None:  # it may be their number that is too much
            self._void(plan.refused(order.id, now))
        else:
            upto = current.first if ended.upto == END_UNKNOWN else ended.upto
            self._void(plan.failed(order.id, upto, now))
            if ended.is_refusal and others and self._spreading is not None:
                self._spreading.refused(source, others)  # there, and nowhere else
        self._books.advance(plan.frontier)

    def _void(self, orders: tuple[int, ...]) -> None:
        """Stop orders whose bytes somebody else has."""
        for number in orders:
            running = self._running.get(number)
            if running is not None:
                running.send(Stop(running.id))
            future = self._cuts.get(number)
            if future is not None and not future.done():
                future.set_result(None)
