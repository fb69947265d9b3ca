"""The limits of a job: time of this run, bytes and pages of all runs; and of one turn of the event loop."""

from __future__ import annotations

from crawler.config import Job
from crawler.engine.clock import Clock
from crawler.store.store import Store

STARTS_A_TURN = 8
"""Requests begun before the loop does something else. All at once keep it for 15 to 30 ms when a crawl begins: only
connections are opened then, no answer is read, and no worker has a page."""


class Limits:
    """Says when a crawl has had enough."""

    def __init__(self, job: Job, store: Store, clock: Clock) -> None:
        """The time runs from here."""
        self._job = job
        self._store = store
        self._clock = clock
        self._deadline = None if job.max_time is None else clock.now() + job.max_time

    def are_reached(self, unsettled_bytes: int) -> bool:
        """Return whether nothing more may be started; bytes of files under way are in no counter yet."""
        counters = self._store.live_counters
        over_time = self._deadline is not None and self._clock.now() >= self._deadline
        most = self._job.max_bytes
        return over_time or (most is not None and counters["wire_bytes"] + unsettled_bytes >= most)

    def allow_page(self, open_pages: int) -> bool:
        """Return whether another page may be asked for without going over `job.max_pages`."""
        most = self._job.max_pages
        return most is None or self._store.live_counters["done"] + open_pages < most
