"""What became of each item of a stream, and the order in which it is handed out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from pipelines.flow.batches import Entry
from pipelines.flow.trip import Answer, Packed

T = TypeVar("T")
R = TypeVar("R")

ITEM_OVERHEAD = 320
"""Bytes an item holds beside its pickle or that of its result (measured: 190 to 240)."""


@dataclass(frozen=True, slots=True)
class Result(Generic[T, R]):
    """What became of one item."""

    index: int
    """The item's place in the source, from 0."""
    item: T
    value: R | None
    error: BaseException | None
    """Of the function, with the worker's traceback; or TaskTimeout, WorkerCrashed, TaskNotPicklable."""

    def unwrap(self) -> R:
        """Return the value or raise the error."""
        if self.error is not None:
            raise self.error
        return cast("R", self.value)


class Item(Entry):
    """One item from the source to whoever iterates."""

    __slots__ = ("answer", "index", "item", "packed")

    def __init__(self, index: int, item: object) -> None:
        self.index = index
        self.item = item
        """Kept only for a `Result`."""
        self.packed: Packed = b""
        self.answer: Answer | BaseException | Result[Any, Any] = b""
        self.size = ITEM_OVERHEAD
        self.breaks = self.breaks_alone = 0


class AsFinished:
    """Results in the order in which they came."""

    def __init__(self) -> None:
        self._ready: deque[Item] = deque()
        self.put = self._ready.append
        self.take = self._ready.popleft

    def __bool__(self) -> bool:
        return bool(self._ready)


class InOrder:
    """Results in the order of their items."""

    def __init__(self) -> None:
        self._ready: dict[int, Item] = {}
        self._next = 0

    def __bool__(self) -> bool:
        return self._next in self._ready

    def put(self, entry: Item) -> None:
        self._ready[entry.index] = entry

    def take(self) -> Item:
        self._next += 1
        return self._ready.pop(self._next - 1)
