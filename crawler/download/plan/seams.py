"""Whether neighbouring runs agree about the bytes where they meet: a shifted or changed piece is found at its edge.

A run is what one request brought of one order: positions [first, end). Every request that does not begin at 0 asks for
OVERLAP bytes more, before its first. So of the bytes just before a border two answers tell: the run that ends there,
and the run that begins there. Both report CRC-32s of that window, and nobody reads the disk:

- `tail`: of [max(0, end - OVERLAP), end), as this run received them. A run that is shorter than the window knows the
  rest of it from its own overlap, so it is always whole.
- `lead`: of [max(0, first - OVERLAP), first), as this run received them; None when first is 0, or when the overlap was
  not asked for (an answer that began at `first` after all).

CRC-32 finds every burst of up to 32 bits and all else but one in 2^32; no attacker is meant here, only wrong bytes.
"""

from __future__ import annotations

from typing import NamedTuple

OVERLAP = 4096  # bytes that a request asks for before its first


class Mismatch(NamedTuple):
    """Two runs disagree about the bytes before `border`; either may be the wrong one, so both are listed."""

    first: int
    """Where the run begins that ends at the border."""
    end: int
    """Where the run ends that begins at the border."""
    border: int


class _Run(NamedTuple):
    first: int
    end: int
    lead: int | None
    tail: int | None


class Seams:
    """The edges of all runs that landed, whichever came first."""

    def __init__(self) -> None:
        self._by_end: dict[int, _Run] = {}
        self._by_first: dict[int, _Run] = {}

    def landed(self, first: int, end: int, lead: int | None, tail: int | None) -> list[Mismatch]:
        """Note a run and return the borders at which it disagrees with a neighbour that landed before.

        A run of no bytes is not noted. What is returned is to be discarded and fetched again: `forget` it here, then
        `Plan.discard` it.
        """
        if first >= end:
            return []
        run = _Run(first, end, lead, tail)
        self._by_first[first] = self._by_end[end] = run
        pairs = ((self._by_end.get(first), run), (run, self._by_first.get(end)))
        return [
            Mismatch(left.first, right.end, right.first)
            for left, right in pairs
            if left is not None and right is not None and _disagree(left.tail, right.lead)
        ]

    def agreed(self, first: int) -> list[int]:
        """Return the first bytes of the neighbours that the run from `first` on was held against, and fits."""
        run = self._by_first[first]
        left, right = self._by_end.get(first), self._by_first.get(run.end)
        found = [left.first] if left is not None and _agree(left.tail, run.lead) else []
        return found + ([right.first] if right is not None and _agree(run.tail, right.lead) else [])

    def forget(self, first: int, end: int) -> None:
        """Forget all runs that have bytes in [first, end): they are no longer on disk as they were."""
        for run in [run for run in self._by_first.values() if run.first < end and run.end > first]:
            del self._by_first[run.first]
            if self._by_end.get(run.end) is run:
                del self._by_end[run.end]


def _disagree(tail: int | None, lead: int | None) -> bool:
    return tail is not None and lead is not None and tail != lead


def _agree(tail: int | None, lead: int | None) -> bool:
    return tail is not None and tail == lead
