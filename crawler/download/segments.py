"""A file of known size over several connections: asks the plan what to do next, has it done, tells the plan what came.

One lane is one connection's place: it fetches order after order until the file is complete. What a lane does depends on
the plan alone; what goes wrong is the business of `Sources`, which says where to go on, and when, or gives up.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import assert_never

from crawler.download.answers.identity import Identity
from crawler.download.books import Books
from crawler.download.changes import FileChanged, refuse_parts
from crawler.download.disk.journal import Piece
from crawler.download.fault import Fault
from crawler.download.hand import Hand, Running
from crawler.download.plan.plan import POLL, Hedge, Order, Plan, Steal
from crawler.download.plan.seams import OVERLAP, Seams
from crawler.download.retry import Failure, GivenUp, Source
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

MAX_SEAM_FAULTS = 4
"""Borders that did not fit, after which the file counts as another one."""
MAX_LOST = 5
"""Workers that may die while they work on one file."""


class Segments:
    """The fetching of one version of one file. `run` returns when all its bytes are in the temporary file."""

    def __init__(self, books: Books, plan: Plan, hands: tuple[Hand, ...]) -> None:
        """`hands`: the workers to use first; others when these die."""
        self._books = books
        self._plan = plan
        self._hands = hands
        self._seams = Seams()
        self._seam_faults = 0
        self._doomed: set[int] = set()
        self._lost, self._lost_at = 0, 0.0
        self._running: dict[int, Running] = {}
        self._cuts: dict[int, asyncio.Future[Order | None]] = {}
        self._held: dict[int, asyncio.Future[bool]] = {}
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def adopt(self, running: Running, order: Order, source: Source) -> None:
        """Take over a request that was made before there was a plan."""
        running.tell = partial(self._heard, order.id, source)
        self._running[order.id] = running
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
        plan = self._plan
        while not plan.is_complete:
            now = self._loop.time()
            order = plan.take(now, lane)
            if order is not None:
                await self._fetch(order)
                continue
            rescue = plan.rescue(now, lane)
            match rescue:
                case Steal():
                    await self._steal(rescue)
                case Hedge():
                    await self._hedge(rescue)
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

    async def _fetch(self, order: Order) -> None:
        """Have an order done, at the best place there is."""
        try:
            source = await self._books.place()
            url = source.at
            await self._books.gate.enter(url)
        except BaseException:
            self._void(self._plan.failed(order.id, order.first, self._loop.time()))
            raise
        try:
            if not await self._begin(order, source, url):
                return
            await self._perform(order, source)
        finally:
            self._books.gate.leave(url)

    async def _begin(self, order: Order, source: Source, url: str, *, is_held: bool = False) -> bool:
        """Give an order, as it is now, to a worker; False when it is void by now."""
        hand = await self._hand()
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
        self._running[order.id] = hand.begin(fetch, partial(self._heard, order.id, source))
        books.segments = max(books.segments, len(self._running))
        return True

    async def _hand(self) -> Hand:
        """Return one of this file's workers. They may come late, when the file has begun, and die."""
        crew, most = self._books.crew, self._books.options.processes_per_file
        there = [hand for hand in self._hands if not hand.is_gone]
        if len(there) < most:
            others = sorted((hand for hand in crew.hands if hand not in there), key=lambda hand: hand.load)
            self._hands = (*there, *others[: most - len(there)])
        return await crew.hand(self._hands)

    async def _perform(self, order: Order, source: Source) -> None:
        """Wait for the end of an order and tell everybody what it came to."""
        running = self._running[order.id]
        try:
            ended = await running.wait()
        finally:
            del self._running[order.id]
            if running.ended.done():
                ended = running.ended.result()
                self._books.reached(ended.received, self._loop.time() - running.began)
                self._settle(order, ended)
            self.wake()
        self._judge(ended, source, running)

    def _pinned(self, source: Source) -> Identity:
        return source.pinned if source.pinned is not None else Identity(self._plan.size)

    # -- rescue

    async def _steal(self, steal: Steal) -> None:
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
            await self._fetch(order)

    async def _hedge(self, hedge: Hedge) -> None:
        """Fetch the rest of a slow order a second time, into memory; whoever has it first has it written."""
        order = hedge.order
        held: asyncio.Future[bool] = self._loop.create_future()
        self._held[order.id] = held
        try:
            source = await self._books.place()
            url = source.at
            await self._books.gate.enter(url)
        except BaseException:
            del self._held[order.id]
            self._void(self._plan.failed(order.id, order.first, self._loop.time()))
            raise
        try:
            if not await self._begin(order, source, url, is_held=True):
                return
            running = self._running[order.id]
            writing = self._loop.create_task(self._write(order.id, running, held))
            try:
                await self._perform(order, source)
            finally:
                writing.cancel()
                await asyncio.wait([writing])
        finally:
            del self._held[order.id]
            self._books.gate.leave(url)

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
        match report:
            case Progress():
                self._plan.progress(number, report.upto, now)
                source.moved()
                self._books.advance(self._plan.frontier)
            case Landed():
                self._landed(number, report)
            case Head():
                self._met(source, report)
            case WasCut():
                order = self._plan.cut_applied(number, report.end)
                future = self._cuts.get(number)
                if future is not None and not future.done():
                    future.set_result(order)
            case Held():
                held = self._held.get(number)
                if held is not None and not held.done():
                    held.set_result(True)

    def _met(self, source: Source, head: Head) -> None:
        """Pin what a place says of the file, the first time it says something."""
        self._books.announced(source, head)
        if source.pinned is None:
            source.met(Identity(*head.identity))

    def _landed(self, number: int, report: Landed) -> None:
        """Enter a run into the books, unless its edges do not fit what is there."""
        if number in self._doomed or self._plan.order(number) is None:
            return
        mismatches = self._seams.landed(report.first, report.end, report.lead, report.tail)
        self._books.landed(Piece(report.first, report.end, report.crc, report.lead, report.tail))
        for mismatch in mismatches:
            self._seam_faults += 1
            self._seams.forget(mismatch.first, mismatch.end)
            self._books.dropped(mismatch.first, mismatch.end)
            doomed = self._plan.discard(mismatch.first, mismatch.end)
            self._doomed.update(doomed)
            self._void(doomed)
        if mismatches:
            self._books.advance(self._plan.frontier)  # the hash begins again before anything is fetched anew

    def _settle(self, order: Order, ended: Ended) -> None:
        """Tell the plan how an order ended."""
        plan, now = self._plan, self._loop.time()
        self._books.received(ended)
        current = plan.order(order.id)
        future = self._cuts.get(order.id)
        if future is not None and not future.done():
            future.set_result(None)
        if current is None:
            return  # void: somebody else has its bytes
        if ended.upto != END_UNKNOWN and ended.upto >= current.end and ended.fault in ("", Fault.INTERRUPTED):
            self._void(plan.landed(order.id, now))
        elif ended.is_refusal and self._running:  # beside others: it may be their number that is too much
            self._void(plan.refused(order.id, now))
        else:
            upto = current.first if ended.upto == END_UNKNOWN else ended.upto
            self._void(plan.failed(order.id, upto, now))
        self._books.advance(plan.frontier)

    def _judge(self, ended: Ended, source: Source, running: Running) -> None:
        """Decide what an order's end means for the place it was sent to. Raises what ends the whole."""
        if self._seam_faults >= MAX_SEAM_FAULTS:
            raise FileChanged("pieces do not fit together")
        fault = ended.fault
        if fault == "" and ended.upto != END_UNKNOWN:
            source.moved()
            return
        if fault == "":
            self._too_short(source, running, ended)
            return
        match Fault(fault):
            case Fault.INTERRUPTED:
                return  # void, or the whole is being stopped
            case Fault.WORKER_LOST:
                if running.began > self._lost_at:  # else it died with one that was counted
                    self._lost, self._lost_at = self._lost + 1, self._loop.time()
                if self._lost > MAX_LOST:
                    raise GivenUp(Fault.WORKER_LOST, f"{self._lost} workers died")
                return
            case Fault.NO_SPACE | Fault.DISK | Fault.INTERNAL as broken:
                raise GivenUp(broken, ended.detail)
            case Fault.CHANGED:
                self._changed_at(source, ended)
            case Fault.RANGE_IGNORED | Fault.RANGE_REFUSED as refused:
                self._parts_refused_at(source, running, refused, ended)
            case _ as other:
                self._failed_at(source, running, other, ended)

    def _too_short(self, source: Source, running: Running, ended: Ended) -> None:
        """Do without parts where they are too short to be held against each other (D10: shorter than asked is lawful).

        Without the overlap a file that changes meanwhile, under the same tag, would be put together from two versions.
        """
        if running.lead and source.has_short_parts:
            refuse_parts(source, Fault.SHORT_BODY, "parts that do not even bring the overlap with what is there")
            return
        source.has_short_parts = True
        self._failed_at(source, running, Fault.SHORT_BODY, ended._replace(detail="a part without a byte"))

    def _failed_at(self, source: Source, running: Running, fault: Fault, ended: Ended) -> None:
        url = running.url
        if ended.target:
            source.redirected(url, ended.target)
            return
        self._books.retries += 1
        if ended.upto != END_UNKNOWN:
            source.moved()
        if fault is Fault.RATE_LIMITED or ended.status == 503:
            self._books.gate.slow_down(url, ended.retry_after)
        if ended.is_refusal and self._running:
            self._books.refused(url, ended)
            return  # the others go on, and the plan lets fewer in
        failure = Failure(fault, ended.detail, ended.status, ended.retry_after, running.began)
        jitter = random.random()  # noqa: S311 - spreads retries, guards nothing
        source.failed(url, failure, self._loop.time(), self._books.sources.terms, jitter)

    def _changed_at(self, source: Source, ended: Ended) -> None:
        """Take it as news of the file where the file was pinned; elsewhere, as a place with another version."""
        if ended.status == 412:
            source.denied()
        if source is self._books.pinner:
            raise FileChanged(ended.detail)
        source.end(Fault.CHANGED, ended.detail)

    def _parts_refused_at(self, source: Source, running: Running, fault: Fault, ended: Ended) -> None:
        """Try once more, since some servers behind one name know ranges and some do not; then do without them."""
        if source.is_single:
            refuse_parts(source, fault, ended.detail)
            return
        source.is_single = True
        self._failed_at(source, running, Fault.RANGE_IGNORED if fault is Fault.RANGE_REFUSED else fault, ended)

    def _void(self, orders: tuple[int, ...]) -> None:
        """Stop orders whose bytes somebody else has."""
        for number in orders:
            running = self._running.get(number)
            if running is not None:
                running.send(Stop(running.id))
            future = self._cuts.get(number)
            if future is not None and not future.done():
                future.set_result(None)
