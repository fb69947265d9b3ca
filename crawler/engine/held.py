"""The memory that pages under way hold, from the admission of a body to the commit of its record.

A page holds its body first, then its result, then only its line. Bodies and results share one budget. Results have a
cap of their own below it: when the store is the slowest, as on a disk that is busy, pages wait as what came off the
wire, which is smaller, and the memory of a crawl does not depend on who is the slowest today.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.flow.budget import ByteBudget
from pipelines.page import Processed

PAGE_OVERHEAD = 4096
"""Bytes a page holds beside its body or result: headers, URLs, tasks, futures (measured: 3 to 4 kB)."""
RESULTS_SHARE = 4
"""A quarter of the budget may be results that wait for the store: enough for it to work through a slow commit."""


class Held:
    """Counts bytes by page. One event loop."""

    def __init__(self, limit: int) -> None:
        self._budget = ByteBudget(limit)
        self._max_results = limit // RESULTS_SHARE
        self._results = 0  # bytes of results that the store has not applied yet
        self._pages: dict[int, int] = {}

    @property
    def bytes(self) -> int:
        """All that is held now."""
        return self._budget.held

    def wants_results(self) -> bool:
        """Whether the store has few enough results waiting that workers should make more."""
        return self._results < self._max_results

    async def admit(self, page: int, body_bytes: int) -> None:
        """Wait until a body fits."""
        size = body_bytes + PAGE_OVERHEAD
        await self._budget.acquire(size)
        self._pages[page] = size

    def finished(self, page: int, result: Processed) -> None:
        """Count a result in place of its body; it is there already, so there is nothing to wait for."""
        size = _size(result)
        self._results += size
        self._set(page, size + len(result.body or b"") + PAGE_OVERHEAD)

    def applied(self, page: int, result: Processed) -> None:
        """Count the line alone: links and request are where they belong."""
        self._results -= _size(result)
        self._set(page, len(result.line))

    def gone(self, pages: Iterable[int]) -> None:
        """Count these no more: they are committed, or were given up."""
        freed = sum(self._pages.pop(page, 0) for page in pages)
        if freed:
            self._budget.release(freed)

    def _set(self, page: int, size: int) -> None:
        change = size - self._pages[page]
        self._pages[page] = size
        if change > 0:
            self._budget.add(change)
        else:
            self._budget.release(-change)


def _size(result: Processed) -> int:
    return len(result.line) + len(result.outlinks) + len(result.refused)
