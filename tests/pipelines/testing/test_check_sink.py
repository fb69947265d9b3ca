"""check_sink passes what is good and catches, for each rule, a sink that breaks it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, ClassVar

import pytest

from pipelines.testing import Sink, check_sink


class Lines:
    """A good sink: appends lines to a file."""

    mode = "ab"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: IO[bytes] | None = None

    def open(self) -> None:
        self.file = self.path.open(self.mode)

    def write(self, line: bytes) -> None:
        if self.file is None:
            raise ValueError("closed")
        self.file.write(line + b"\n")

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    def read(self) -> list[bytes]:
        return self.path.read_bytes().splitlines() if self.path.exists() else []


class StartsOver(Lines):
    mode = "wb"


class Doubles(Lines):
    def write(self, line: bytes) -> None:
        super().write(line)
        if b"again" in line:
            super().write(line)


class CutsLong(Lines):
    def write(self, line: bytes) -> None:
        super().write(line[:100_000])


class Reverses(Lines):
    """Writes pairs the wrong way round."""

    first = b""

    def write(self, line: bytes) -> None:
        if not self.first and self.file is not None:
            self.first = line
            return
        super().write(line)
        super().write(self.first)
        self.first = b""

    def close(self) -> None:
        if self.first:
            super().write(self.first)
            self.first = b""
        super().close()


class LosesTail(Lines):
    """Flushes every hundred records, and forgets the rest."""

    kept: list[bytes]

    def open(self) -> None:
        self.kept = []
        super().open()

    def write(self, line: bytes) -> None:
        if self.file is None:
            raise ValueError("closed")
        self.kept.append(line)
        if len(self.kept) == 100:
            for one in self.kept:
                super().write(one)
            self.kept.clear()


class Strict(Lines):
    def write(self, line: bytes) -> None:
        if len(line) > 100_000:
            raise ValueError("too long for me")
        super().write(line)


class ClosesOnce(Lines):
    def close(self) -> None:
        if self.file is None:
            raise ValueError("not open")
        super().close()


class TakesAnything(Lines):
    def write(self, line: bytes) -> None:
        if self.file is not None:
            super().write(line)


class Leaks(Lines):
    files: ClassVar[list[IO[bytes]]] = []

    def close(self) -> None:
        if self.file is not None:
            self.files.append(self.file)
            self.file = None

    def write(self, line: bytes) -> None:
        super().write(line)
        assert self.file is not None
        self.file.flush()


class Hoards(Lines):
    def open(self) -> None:
        self.kept: list[bytes] = []
        super().open()

    def write(self, line: bytes) -> None:
        if self.file is None:
            raise ValueError("closed")
        self.kept.append(line)

    def close(self) -> None:
        if self.file is not None:
            self.file.writelines(line + b"\n" for line in self.kept)
        super().close()


class Prints(Lines):
    def write(self, line: bytes) -> None:
        super().write(line)
        if b"again" in line:
            print("a record!")


class Waits(Lines):
    async def write(self, line: bytes) -> None:  # type: ignore[override]  # on purpose
        super().write(line)


class NoClose:
    def write(self, line: bytes) -> None: ...


def test_a_good_sink_passes(tmp_path: Path) -> None:
    sink = Lines(tmp_path / "records.jsonl")
    assert isinstance(sink, Sink)
    check_sink(sink, sink.read)
    count = len(sink.read())
    check_sink(sink, sink.read)  # what it held before stays
    assert len(sink.read()) == 2 * count > 4000


def test_a_function_is_a_sink(tmp_path: Path) -> None:
    with (tmp_path / "records.jsonl").open("wb") as file:

        def write(line: bytes) -> None:
            file.write(line + b"\n")

        check_sink(write)


@pytest.mark.parametrize(
    ("make", "rule", "case", "remedy"),
    [
        (StartsOver, "loses no record", "took 20", "append instead of starting over"),
        (Doubles, "doubles none", "took 20", "write nothing twice"),
        (CutsLong, "keeps each record as it is", "record ", "write lines whole"),
        (Reverses, "in order", "record ", "as they come"),
        (LosesTail, "loses no record", "took 20", "write out what is left"),
        (Strict, "takes every record", "ValueError: too long for me", "megabytes"),
        (ClosesOnce, "every turn", "close of a closed sink: ValueError: not open", "may be repeated"),
        (TakesAnything, "closed sink takes no record", "write after close was accepted", "raise in `write`"),
        (Leaks, "closed sink holds nothing", "a descriptor is still open", "close each file"),
        (Hoards, "holds few records in memory", "holds 19 MiB after 2000 records", "write them out"),
        (Prints, "does not print", "a record!", "logging"),
        (Waits, "is not async", "returned a coroutine", "iterate over the records"),
        (lambda path: NoClose(), "takes records", "has neither open, write and close", "a class with all three"),
    ],
)
def test_each_rule_catches_who_breaks_it(
    make: Callable[[Path], Any], rule: str, case: str, remedy: str, tmp_path: Path
) -> None:
    sink = make(tmp_path / "records.jsonl")
    try:
        with pytest.raises(AssertionError) as caught:
            check_sink(sink, getattr(sink, "read", None))
    finally:
        for file in [*Leaks.files, getattr(sink, "file", None)]:
            if file is not None:
                file.close()
        Leaks.files.clear()
    told = dict(line.strip().split(": ", 1) for line in str(caught.value).splitlines()[:3])
    assert rule in told["rule"]
    assert case in told["case"]
    assert type(sink).__name__ in told["case"]
    assert remedy in told["remedy"]


def test_a_list_is_too_small_for_a_crawl() -> None:
    found: list[bytes] = []
    with pytest.raises(AssertionError, match=r"list\.append: holds 19 MiB"):
        check_sink(found.append)


def test_a_buffer_in_memory_is_no_sink_either() -> None:
    with pytest.raises(AssertionError, match="holds few records"):
        check_sink(io.BytesIO().write)
