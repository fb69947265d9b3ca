"""A set of byte positions, kept as disjoint half-open intervals in order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Spans:
    """Intervals [first, end) that neither overlap nor touch: those that touch are one.

    Cost: a binary search and, for changes, the moving of what stands behind.
    """

    __slots__ = ("_ends", "_firsts", "_total")

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []
        self._total = 0
        for first, end in spans:
            self.add(first, end)

    @property
    def total(self) -> int:
        """How many positions are in the set."""
        return self._total

    def add(self, first: int, end: int) -> None:
        """Put [first, end) in; nothing happens when it is empty."""
        if first >= end:
            return
        low = bisect_left(self._ends, first)  # the first that reaches up to `first`, even if it only touches
        high = bisect_right(self._firsts, end)  # behind the last that begins at `end` or before
        if low < high:
            self._total -= sum(self._ends[low:high]) - sum(self._firsts[low:high])
            first = min(first, self._firsts[low])
            end = max(end, self._ends[high - 1])
        self._firsts[low:high] = [first]
        self._ends[low:high] = [end]
        self._total += end - first

    def remove(self, first: int, end: int) -> None:
        """Take [first, end) out, as much of it as is in."""
        if first >= end:
            return
        low = bisect_right(self._ends, first)
        high = bisect_left(self._firsts, end)
        if low >= high:
            return
        gone = sum(self._ends[low:high]) - sum(self._firsts[low:high])
        left = (self._firsts[low], first) if self._firsts[low] < first else None
        right = (end, self._ends[high - 1]) if self._ends[high - 1] > end else None
        kept = [span for span in (left, right) if span is not None]
        self._firsts[low:high] = [span[0] for span in kept]
        self._ends[low:high] = [span[1] for span in kept]
        self._total -= gone - sum(span[1] - span[0] for span in kept)

    def covers(self, first: int, end: int) -> bool:
        """Return whether all of [first, end) is in the set; the empty interval always is."""
        if first >= end:
            return True
        at = bisect_right(self._firsts, first) - 1
        return at >= 0 and self._ends[at] >= end

    def first_gap(self, start: int = 0) -> int:
        """Return the first position at or after `start` that is not in the set."""
        at = bisect_right(self._firsts, start) - 1
        return self._ends[at] if at >= 0 and self._ends[at] > start else start

    def first(self) -> tuple[int, int] | None:
        """Return the first interval, None when the set is empty."""
        return (self._firsts[0], self._ends[0]) if self._firsts else None

    def within(self, first: int, end: int) -> list[tuple[int, int]]:
        """Return the parts of the set that lie in [first, end), in order."""
        if first >= end:
            return []
        low, high = bisect_right(self._ends, first), bisect_left(self._firsts, end)
        return [(max(first, self._firsts[at]), min(end, self._ends[at])) for at in range(low, high)]

    def count(self, first: int, end: int) -> int:
        """Return how many positions of [first, end) are in the set."""
        return sum(stop - start for start, stop in self.within(first, end))

    def gaps(self, first: int, end: int) -> list[tuple[int, int]]:
        """Return the parts of [first, end) that are not in the set, in order."""
        gaps = []
        for start, stop in self.within(first, end):
            if first < start:
                gaps.append((first, start))
            first = stop
        if first < end:
            gaps.append((first, end))
        return gaps

    def copy(self) -> Spans:
        """Return a set of its own with the same positions."""
        other = Spans()
        other._firsts, other._ends, other._total = self._firsts.copy(), self._ends.copy(), self._total
        return other

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(list(zip(self._firsts, self._ends, strict=True)))

    def __len__(self) -> int:
        """Return how many intervals there are."""
        return len(self._firsts)

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Spans):
            return NotImplemented
        return self._firsts == other._firsts and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Spans({list(self)!r})"
