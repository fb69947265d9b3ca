"""What every sink must do: take each record once, in order, in bounded memory, and let go of it all when closed."""

from __future__ import annotations

import inspect
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from pipelines.pipeline import Pipeline
from pipelines.testing.heard import heard
from pipelines.testing.hostile import hostile_pages, ordinary_pages
from pipelines.testing.rules import violation


@runtime_checkable
class Sink(Protocol):
    """Where records go. `open`, any number of `write`, `close`, and that again: later records come after earlier ones.

    Whatever fails raises: a record whose `write` returned and whose `close` returned is kept. A sink that needs neither
    opening nor closing may be a function that takes one line.
    """

    def open(self) -> None:
        """Be ready to write."""

    def write(self, line: bytes) -> None:
        """Take one record: JSON in UTF-8 without a newline, up to some megabytes. Raises when closed."""

    def close(self) -> None:
        """Write what is left and free everything. Closing twice is fine."""


AnySink = Sink | Callable[[bytes], object]

FLOOD_RECORDS, FLOOD_RECORD_BYTES = 2000, 10_000
MAX_HELD_BYTES = 8 << 20


def check_sink(sink: AnySink, read: Callable[[], Sequence[bytes]] | None = None) -> None:
    """Hold a sink against every rule; leaves some 20 MB of records in it.

    `read` returns the lines that are in the sink, which is closed then; without it nobody can tell whether a record
    was lost. Not beside other threads that print. Raises AssertionError for the first rule broken, with the rule, the
    case and the remedy.
    """
    name = getattr(sink, "__qualname__", None) or type(sink).__qualname__
    face = sink if isinstance(sink, Sink) else _Face(sink, name)
    before = list(read()) if read is not None else []
    with heard() as words:
        written = _takes_everything(face, name)
        _opens_again(face, name, written)
        if not isinstance(face, _Face):
            _is_closed(face, name)
        _holds_little(face, name, written)
    if said := "".join(words):
        remedy = "use logging; the standard streams belong to the program, and records may go there"
        raise violation("A sink does not print", f"{name}: {said[:200]!r}", remedy)
    if read is not None:
        _keeps_everything(name, before + written, read())


class _Face:
    """A function as a sink."""

    def __init__(self, function: object, name: str) -> None:
        if not callable(function):
            case = f"{name} has neither open, write and close, nor can it be called"
            raise violation("A sink takes records", case, "write a function of one line, or a class with all three")
        self.write: Callable[[bytes], object] = function

    def open(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def _takes_everything(sink: Sink | _Face, name: str) -> list[bytes]:
    written = []
    _call(name, "open", sink.open)
    for case, line in _records():
        _call(name, f"write of the record of {case}", sink.write, line)
        written.append(line)
    _call(name, "close", sink.close)
    return written


def _records() -> Iterator[tuple[str, bytes]]:
    pipeline = Pipeline()
    cases = hostile_pages() | {f"ordinary page {page.id}": page for page in ordinary_pages(20)}
    for case, page in cases.items():
        if line := pipeline.process(page).line:
            yield case, line


def _opens_again(sink: Sink | _Face, name: str, written: list[bytes]) -> None:
    for case in ("open after close", "close with nothing written"):
        _call(name, case, sink.open if case.startswith("open") else sink.close)
    _call(name, "open after an empty turn", sink.open)
    line = b'{"url":"https://example.org/again"}'
    _call(name, "write after it was opened again", sink.write, line)
    written.append(line)
    _call(name, "close", sink.close)


def _is_closed(sink: Sink, name: str) -> None:
    descriptors = _descriptors()
    _call(name, "open", sink.open)
    _call(name, "close", sink.close)
    _call(name, "close of a closed sink", sink.close)
    if _descriptors() > descriptors:
        remedy = "close each file and socket in `close`"
        raise violation("A closed sink holds nothing", f"{name}: a descriptor is still open", remedy)
    try:
        sink.write(b"{}")
    except Exception:  # noqa: BLE001 - whatever it raises, the caller knows that the record was not taken
        return
    remedy = "raise in `write` when it is closed: a record that vanishes is never fetched again"
    raise violation("A closed sink takes no record", f"{name}: write after close was accepted", remedy)


def _holds_little(sink: Sink | _Face, name: str, written: list[bytes]) -> None:
    lines = []
    tracemalloc.start()
    try:
        _call(name, "open", sink.open)
        before = tracemalloc.get_traced_memory()[0]
        for number in range(FLOOD_RECORDS):
            line = b'{"number":%d,"text":"%s"}' % (number, b"x" * FLOOD_RECORD_BYTES)
            _call(name, f"write of record {number} of a flood", sink.write, line)
            lines.append(number)
        held = tracemalloc.get_traced_memory()[0] - before
        _call(name, "close", sink.close)
    finally:
        tracemalloc.stop()
    if held > MAX_HELD_BYTES:
        case = f"{name}: holds {held >> 20} MiB after {FLOOD_RECORDS} records of {FLOOD_RECORD_BYTES} bytes"
        raise violation("A sink holds few records in memory", case, "write them out once some megabytes have come")
    written += [b'{"number":%d,"text":"%s"}' % (number, b"x" * FLOOD_RECORD_BYTES) for number in lines]


def _keeps_everything(name: str, expected: list[bytes], found: Sequence[bytes]) -> None:
    if len(found) != len(expected):
        case = f"{name}: took {len(expected)} records and has {len(found)}"
        remedy = "write out what is left in `close`, append instead of starting over, and write nothing twice"
        raise violation("A sink loses no record and doubles none", case, remedy)
    for number, (want, have) in enumerate(zip(expected, found, strict=True)):
        if want != have:
            case = f"{name}: record {number} is {bytes(have[:80])!r}, expected {want[:80]!r}"
            raise violation("A sink keeps each record as it is, in order", case, "write lines whole and as they come")


def _call(name: str, case: str, function: Callable[..., object], *arguments: object) -> None:
    try:
        returned = function(*arguments)
    except Exception as error:
        remedy = "a record is any JSON, from nothing to megabytes; opening and closing may be repeated"
        raise violation(
            "A sink takes every record and every turn", f"{name}: {case}: {type(error).__name__}: {error}", remedy
        ) from error
    if inspect.isawaitable(returned):
        if inspect.iscoroutine(returned):
            returned.close()
        remedy = "make it a plain function; to write to something that awaits, iterate over the records instead"
        raise violation("A sink is not async", f"{name}: {case} returned a {type(returned).__name__}", remedy)


def _descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0
