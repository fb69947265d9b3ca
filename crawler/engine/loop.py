"""The engine: takes the frontier's steps one by one, and lives the life of each URL: fetch → process → commit.

One scheduler coroutine asks the frontier for the next step whenever a fetch slot is free. One coroutine lives the life
of each URL. Slots are a semaphore: a page keeps its slot until its body was admitted to the queue of the workers, so
bodies in memory are bounded by `concurrency * max_wire_bytes + queue_bytes`, and a full queue stops the fetching.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, assert_never

from crawler.engine.limits import STARTS_A_TURN, Limits
from crawler.engine.parts import Live, Parts
from crawler.engine.records import redirect_line
from crawler.engine.robots import RobotsDesk
from crawler.engine.verdicts import REASON_OF, verdict
from crawler.fetch.outcome import Failed, Fetched, FileHead, Outcome, Redirected, Refused
from crawler.frontier.host import Row
from crawler.frontier.politeness import Verdict
from crawler.frontier.reasons import Reason
from crawler.frontier.request import MAX_REDIRECTS, Kind, Request
from crawler.frontier.retry import Retry, RetryBudget, decide
from crawler.frontier.scope import Admitted, Scope
from crawler.frontier.steps import Denied, Done, FileFound, MoreHosts, NeedRobots, Refill, Slot, Wait
from crawler.store.group import Applied, Committed, Failure, FileEnded, Recorded, Redirect, Retried, Seeds, Skip
from pipelines.batcher import Lost
from pipelines.page import Page, Processed
from pipelines.url import CanonicalUrl, host_of

if TYPE_CHECKING:
    from crawler.engine.bodies import BodyStore
    from crawler.engine.files import FileDesk  # with the downloads behind it: for crawls that have files

_log = logging.getLogger(__name__)


class Engine:
    """Runs one crawl to its end, to a limit, or until it is told to stop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._config = parts.config
        self._frontier = parts.frontier
        self._store = parts.store
        self._clock = parts.clock
        self._slots = asyncio.Semaphore(parts.config.fetch.concurrency)
        self._wake = asyncio.Event()
        self._desk = RobotsDesk(parts.config, parts.frontier, parts.store, parts.clock, parts.decode)
        self._retries = RetryBudget()
        self._expected = 0  # groups put that may bring URLs before anything is pending
        self._open = 0  # pages handed out that have not come to an end yet
        self._last_body: asyncio.Future[None] | None = None
        self.files: FileDesk | None = None
        """Only in a crawl that can have files."""
        self.live = Live()
        self.stopping = False
        self.bugs = 0
        self._tasks: asyncio.TaskGroup
        self._limits: Limits

    async def run(self) -> bool:
        """Crawl until nothing is pending (True) or until a limit or `stop` (False). Raises StateError, and any bug."""
        max_time = self._config.job.max_time
        self._limits = Limits(self._config.job, self._store, self._clock)
        if max_time is None:
            return await self._run()
        timer = asyncio.get_running_loop().call_later(max_time, self._wake.set)
        try:
            return await self._run()
        finally:
            timer.cancel()

    async def _run(self) -> bool:
        async with asyncio.TaskGroup() as self._tasks:
            try:
                return await self._schedule()
            finally:
                if self.files is not None:
                    self.files.stop()  # what was received waits for the next run; of a complete crawl there is none

    def stop(self) -> None:
        """Start nothing new; `run` returns when what is under way has ended."""
        self.stopping = True
        self._wake.set()

    @property
    def scope(self) -> Scope:
        """Which URLs belong to the crawl."""
        return self._parts.scope

    def tidy(self, url: CanonicalUrl) -> CanonicalUrl:
        """Return the URL with the user's rules for queries applied."""
        return self._parts.tidy(url)

    def fingerprint(self, url: str) -> int:
        """Return the key under which the URL is known."""
        return self._parts.fingerprint(url)

    @property
    def trips(self) -> int:
        """Batches sent to the workers so far."""
        return self._parts.batcher.trips

    def busiest(self, count: int) -> list[tuple[str, int, int]]:
        """Return `(host, in flight, in memory)` of the hosts with most to do."""
        return self._frontier.busiest(count)

    def wake(self) -> None:
        """Look at the frontier again: something changed."""
        self._wake.set()

    def expect_group(self) -> None:
        """Note that a group is on its way to the store, so that an empty frontier is not the end yet."""
        self._expected += 1

    # -- what the store says

    def applied(self, applied: Applied) -> None:
        """Take what a group changed."""
        if self.files is not None:
            self.files.sums.saw(applied.new)
        for item in applied.items:
            match item:
                case Recorded(request, processed):
                    self._open -= 1
                    self._parts.held.applied(request.id, processed)
                    self._settled(request)
                case Redirect(request) | Failure(request):
                    self._open -= 1
                    self._settled(request)
                case Skip(request) | FileEnded(request):
                    self._settled(request)
                case Seeds():
                    self._expected -= 1
        self._parts.batcher.resume()
        self._frontier.add(applied.new, self._clock.now())
        self._wake.set()

    def _settled(self, request: Request) -> None:
        self._frontier.settled(request)
        if self.files is not None:
            self.files.sums.settled(request)

    def release(self, groups: list[Committed]) -> None:
        """Give back the memory that committed pages held."""
        self._parts.held.gone(page for group in groups for page in group.pages)

    # -- the scheduler

    async def _schedule(self) -> bool:
        while True:
            await self._slots.acquire()
            held = True
            self._wake.clear()  # before looking at anything: what changes from here on ends the next sleep
            try:
                if self.stopping or self._limits.are_reached(self._unsettled_bytes):
                    return self._is_complete()
                may_start = self._limits.allow_page(self._open)
                if not may_start and not (self._open or self._expected or self._open_files):
                    return self._is_complete()
                if not may_start and self.files is not None:
                    self.files.sums.hurry()
                is_open = may_start and (self.files is None or not self.files.is_full)
                step = self._frontier.next if is_open else self._frontier.next_slot
                match step(self._clock.now()):
                    case Request() as request:
                        self._start(request)
                        held = False
                        if not self.live.requests % STARTS_A_TURN:
                            await asyncio.sleep(0)
                    case Wait(until):
                        self._slots.release()
                        held = False
                        await self._sleep(until)
                    case Refill() as refill:
                        self._refill(refill)
                    case MoreHosts() as more:
                        self._more_hosts(more)
                    case NeedRobots() as need:
                        self._tasks.create_task(self._find_robots(need))
                    case FileFound(request):
                        self._start_file(request)
                    case Slot() as slot:
                        assert self.files is not None, "only downloads ask for slots"
                        self.files.gate.granted(slot)
                    case Denied(request, reason):
                        self._store.put(Skip(request, reason, self._is_listed(request)))
                    case Done():
                        if self._is_complete():
                            return True
                        self._slots.release()
                        held = False
                        await self._sleep(None)
                    case other:
                        assert_never(other)
            finally:
                if held:
                    self._slots.release()

    async def _sleep(self, until: float | None) -> None:
        """Wait until something happens, or the time comes."""
        if until is None:
            await self._wake.wait()
            return
        timer = asyncio.get_running_loop().call_at(until, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    def _is_complete(self) -> bool:
        """Whether every URL has come to an end and none is on its way; may be so just when a limit is reached."""
        return self._frontier.pending == 0 and self._expected == 0

    def _refill(self, refill: Refill) -> None:
        def reply(rows: list[Row]) -> None:
            if self.files is not None:
                self.files.sums.saw(rows)
            self._frontier.refilled(refill.host, rows, refill.limit)
            self._wake.set()

        self._store.host_rest(refill.host, refill.priority, refill.after, refill.limit, reply)

    def _more_hosts(self, step: MoreHosts) -> None:
        def reply(ids: list[int]) -> None:
            self._frontier.more_hosts(step.after, ids, step.limit, self._clock.now())
            self._wake.set()

        self._store.next_hosts(step.after, step.limit, reply)

    async def _find_robots(self, need: NeedRobots) -> None:
        await self._desk.find(need)
        self._wake.set()

    # -- the life of one URL

    def _start(self, request: Request) -> None:
        if request.kind is Kind.PAGE:
            self._open += 1
        self.live.in_flight += 1
        self.live.requests += 1
        self._retries.requested()
        self._tasks.create_task(self._life(request))

    async def _life(self, request: Request) -> None:
        """One URL from its request to the moment the store has it. Keeps the fetch slot it was started with."""
        try:
            outcome = await self._fetch(request)
            if isinstance(outcome, Fetched) and request.kind is Kind.PAGE:
                await self._parts.held.admit(request.id, len(outcome.page.body))
        finally:
            self._slots.release()
            self._wake.set()
        if request.kind is Kind.ROBOTS:
            await self._desk.answered(request, outcome)
            self._wake.set()
            return
        match outcome:
            case Fetched(page):
                await self._process(request, page)
            case FileHead():
                self._open -= 1
                self._start_file(request)
            case Redirected():
                await self._redirected(request, outcome)
            case Refused(reason):
                self._open -= 1
                self._store.put(Skip(request, reason))
            case Failed():
                self._failed(request, outcome)
            case other:
                assert_never(other)

    @property
    def _open_files(self) -> int:
        return 0 if self.files is None else self.files.open

    def _is_listed(self, request: Request) -> bool:
        return self.files is not None and self.files.is_listed(request)

    @property
    def _unsettled_bytes(self) -> int:
        return 0 if self.files is None else self.files.unsettled_bytes

    def _start_file(self, request: Request) -> None:
        assert self.files is not None, "else nothing is a file"
        self.files.own(request, self._tasks.create_task(self._file(request, self.files)))

    async def _file(self, request: Request, files: FileDesk) -> None:
        """Fetch one file, which has no slot of its own: each of its requests waits for its turn at the host."""
        end = await files.fetch(request)
        if isinstance(end, Redirected):
            self._open += 1
            await self._redirected(request, end)
        elif end is not None:
            self._store.put(end)

    async def _fetch(self, request: Request) -> Outcome:
        try:
            outcome = await self._parts.fetcher.fetch(request, lambda: self._frontier.sent(request, self._clock.now()))
        except Exception as exc:  # noqa: BLE001  # a bug met on one page costs that page; the exit code tells
            outcome = Failed(Reason.INTERNAL, self._bug(request, exc))
        except BaseException:
            self._frontier.fetched(request, self._clock.now(), Verdict.UNKNOWN)
            raise
        finally:
            self.live.in_flight -= 1
        pause = None
        if isinstance(outcome, Failed) and outcome.retry_after is not None and outcome.reason is Reason.RATE_LIMITED:
            pause = self._clock.now() + min(outcome.retry_after, self._config.politeness.retry_after_max)
        self._frontier.fetched(request, self._clock.now(), verdict(outcome), pause)
        return outcome

    async def _process(self, request: Request, page: Page) -> None:
        self.live.responses += 1
        self.live.wire_bytes += len(page.body)
        self.live.processing += 1
        try:
            result = await self._parts.batcher.process(page)
        finally:
            self.live.processing -= 1
        if isinstance(result, Lost):
            case = await self._parts.quarantine.keep(page, result)
            kept = f"; look at it with: crawl repro {case}" if case else ""
            self._give_up(request, Failure(request, REASON_OF[result.cause], result.told + kept, page.status))
        elif result.error is not None:
            self._give_up(request, Failure(request, Reason(result.error), result.detail, page.status))
        else:
            self._parts.held.finished(request.id, result)
            if self._parts.bodies is not None:
                result = await self._keep_body(self._parts.bodies, result)
            self._store.put(Recorded(request, result, len(page.body)))

    async def _keep_body(self, bodies: BodyStore, result: Processed) -> Processed:
        """Write the body, and return after those whose results came before.

        A worker reports a link once, with the first page that has it. Were a later page committed before that one, a
        kill between the two could lose the link.
        """
        assert result.body is not None, "the pipeline was told to send bodies"
        before = self._last_body
        mine = self._last_body = asyncio.get_running_loop().create_future()
        await bodies.keep(result.sha256, result.body)
        if before is not None:
            await before
        mine.set_result(None)
        return result._replace(body=None)

    def _give_up(self, request: Request, failure: Failure) -> None:
        self._parts.held.gone([request.id])
        self._store.put(failure)

    async def _redirected(self, request: Request, outcome: Redirected) -> None:
        target = self._parts.tidy(outcome.target)
        if len(request.redirects) >= MAX_REDIRECTS or target == request.url:
            hops = " → ".join([*request.redirects, request.url, target])
            missed = self._is_listed(request)
            self._store.put(Failure(request, Reason.REDIRECT_LIMIT, hops[:300], outcome.status, missed))
            return
        line = redirect_line(request, outcome, target, self._config.output)
        found: Admitted | str | None = (host_of(target), 0)
        if not self._is_listed(request):  # a listed file may be anywhere
            (found,) = await self._parts.judge([target])
        fingerprint = self._parts.fingerprint(target)
        if found is None or isinstance(found, str):
            refused = (fingerprint, target, found or Reason.PATTERN_TIMEOUT.value)
            self._store.put(Redirect(request, line, [], [refused]))
        else:
            self._store.put(Redirect(request, line, [(fingerprint, target, *found)], []))

    def _failed(self, request: Request, failed: Failed) -> None:
        fetch = self._config.fetch
        decision = decide(
            failed.reason,
            request.attempt,
            retries=fetch.retries,
            base=fetch.retry_delay,
            maximum=fetch.retry_delay_max,
            retry_after_max=self._config.politeness.retry_after_max,
            jitter=self._clock.random(),
            retry_after=failed.retry_after,
            status=failed.status,
        )
        if isinstance(decision, Retry) and not self.stopping and self._retries.take():
            self._open -= 1
            self._frontier.retry(request, self._clock.now() + decision.delay_seconds)
            self._store.put(Retried(request))
            self._wake.set()
        elif isinstance(decision, Retry) and self.stopping:
            self._open -= 1  # still pending: the next run tries again
            self._store.put(Retried(request))
        else:
            self._store.put(Failure(request, failed.reason, failed.detail, failed.status))

    def _bug(self, request: Request, exc: Exception) -> str:
        self.bugs += 1
        _log.error("unexpected error on %s", ascii(request.url), exc_info=exc)
        return f"{type(exc).__name__}: {exc}"[:300]
