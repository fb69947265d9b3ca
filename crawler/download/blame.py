"""What the end of a request means for the place it was made at, and for the whole: `Sources` and `Changes` go by it."""

from __future__ import annotations

import asyncio
import random

from crawler.download.books import Books
from crawler.download.changes import FileChanged, refuse_parts
from crawler.download.fault import Fault
from crawler.download.hand import Running
from crawler.download.retry import Failure, GivenUp, Source
from crawler.download.spreading import Spreading
from crawler.download.worker.wire import END_UNKNOWN, Ended

MAX_LOST = 5
"""Workers that may die while they work on one file."""


class Blame:
    """That of one version of one file."""

    def __init__(self, books: Books, spreading: Spreading | None) -> None:
        self._books = books
        self._spreading = spreading
        self._lost, self._lost_at = 0, 0.0
        self._loop = asyncio.get_running_loop()

    def judge(self, ended: Ended, source: Source, running: Running, *, is_crowded: bool) -> None:
        """Decide what an order's end means for the place it was sent to. Raises what ends the whole.

        `is_crowded`: whether others are under way there.
        """
        fault = ended.fault
        if fault == "" and ended.upto != END_UNKNOWN:
            source.moved()
            return
        if fault == "":
            self._too_short(source, running, ended, is_crowded=is_crowded)
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
                self._parts_refused_at(source, running, refused, ended, is_crowded=is_crowded)
            case _ as other:
                self._failed_at(source, running, other, ended, is_crowded=is_crowded)

    def _too_short(self, source: Source, running: Running, ended: Ended, *, is_crowded: bool) -> None:
        """Do without parts where they are too short to be held against each other (D10: shorter than asked is lawful).

        Without the overlap a file that changes meanwhile, under the same tag, would be put together from two versions.
        """
        if running.lead and source.has_short_parts:
            self._refuse_parts(source, Fault.SHORT_BODY, "parts that do not even bring the overlap with what is there")
            return
        source.has_short_parts = True
        told = ended._replace(detail="a part without a byte")
        self._failed_at(source, running, Fault.SHORT_BODY, told, is_crowded=is_crowded)

    def _failed_at(self, source: Source, running: Running, fault: Fault, ended: Ended, *, is_crowded: bool) -> None:
        url = running.url
        if ended.target:
            source.redirected(url, ended.target)
            return
        self._books.retries += 1
        if ended.upto != END_UNKNOWN:
            source.moved()
        if fault is Fault.RATE_LIMITED or ended.status == 503:
            self._books.gate.slow_down(url, ended.retry_after)
        if ended.is_refusal and is_crowded:
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
        if self._spreading is None or not self._spreading.spare(source):
            source.end(Fault.CHANGED, ended.detail)

    def _parts_refused_at(
        self, source: Source, running: Running, fault: Fault, ended: Ended, *, is_crowded: bool
    ) -> None:
        """Try once more, since some servers behind one name know ranges and some do not; then do without them."""
        if source.is_single:
            self._refuse_parts(source, fault, ended.detail)
            return
        source.is_single = True
        ignored = Fault.RANGE_IGNORED if fault is Fault.RANGE_REFUSED else fault
        self._failed_at(source, running, ignored, ended, is_crowded=is_crowded)

    def _refuse_parts(self, source: Source, fault: Fault, detail: str) -> None:
        if self._spreading is None or not self._spreading.spare(source):
            refuse_parts(source, fault, detail)
