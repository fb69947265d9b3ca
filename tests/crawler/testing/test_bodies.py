"""Bodies are the ruler of all download tests: the same at every offset, different everywhere else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.testing.bodies import (
    BLOCK_BYTES,
    Body,
    Damage,
    Literal,
    Shifted,
    Source,
    chunks,
    damage,
    digest,
    doubled,
    flipped,
    swapped,
    zeroed,
)  # fmt: skip

SIZE = 200_003
A, B = Body(SIZE), Body(SIZE, "B")
WHOLE = A.read(0, SIZE)
offsets = st.integers(0, SIZE + 10)


@given(first=offsets, end=offsets)
def test_a_read_anywhere_is_a_slice_of_the_whole(first: int, end: int) -> None:
    assert A.read(first, end) == WHOLE[first:end]


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 5 * BLOCK_BYTES])
def test_sizes_at_the_edge(size: int) -> None:
    body = Body(size)
    assert len(body.read(0, size + 100)) == size == sum(map(len, chunks(body)))
    assert digest(body) == hashlib.sha256(body.read(0, size)).hexdigest()


def test_bytes_beyond_four_gibibytes_cost_no_memory_and_repeat_nothing() -> None:
    body = Body(5 << 30)
    assert body.read((4 << 30) - 10, (4 << 30) + 10) == Body(6 << 30).read((4 << 30) - 10, (4 << 30) + 10)
    assert body.read(4 << 30, (4 << 30) + 65_536) != body.read(0, 65_536)
    assert len(body.read((5 << 30) - 3, 6 << 30)) == 3


LONG = BLOCK_BYTES + 15  # holds at least one whole stamp, wherever it begins


@given(first=st.integers(0, SIZE - LONG), other=st.integers(0, SIZE - LONG))
def test_no_stretch_that_holds_a_stamp_stands_twice_or_in_both_versions(first: int, other: int) -> None:
    stretch = A.read(first, first + LONG)
    assert B.read(other, other + LONG) != stretch
    assert (A.read(other, other + LONG) == stretch) is (other == first)


def test_no_block_occurs_twice_in_either_version() -> None:
    blocks = [body.read(at, at + BLOCK_BYTES) for body in (A, B) for at in range(0, SIZE - BLOCK_BYTES, BLOCK_BYTES)]
    assert len(set(blocks)) == len(blocks)


def test_a_longer_body_of_a_version_begins_as_the_shorter() -> None:
    assert Body(SIZE * 2).read(0, SIZE) == WHOLE


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (flipped(A, 70_000), [(70_000, 70_001)]),
        (zeroed(A, 10, 5), [(10, 15)]),
        (Literal(WHOLE[:-7]), [(SIZE - 7, SIZE)]),
        (Literal(WHOLE + b"more"), [(SIZE, SIZE + 4)]),
        (Literal(WHOLE), []),
    ],
)
def test_damage_is_named_to_the_byte(tmp_path: Path, bad: Source, expected: list[tuple[int, int]]) -> None:
    path = tmp_path / "f"
    path.write_bytes(bad.read(0, bad.size))
    assert damage(path, A) == [Damage(*pair) for pair in expected]


def test_faulty_sources_keep_their_size_and_differ_where_they_should() -> None:
    for bad in (flipped(A, 0), zeroed(A, 5000, 100), doubled(A, 0, 4096), swapped(A, 0, 8192, 4096)):
        data = bad.read(0, SIZE)
        assert len(data) == SIZE == bad.size
        assert data != WHOLE
        assert bad.read(4000, 9000) == data[4000:9000]
    moved = swapped(A, 0, 8192, 4096).read(0, SIZE)
    assert moved[:4096] == WHOLE[8192:12288]
    assert moved[8192:12288] == WHOLE[:4096]


def test_shifted_bytes_are_as_many_as_asked_for() -> None:
    shifted = Shifted(A, 17)
    assert shifted.read(100, 200) == WHOLE[117:217]
    assert len(shifted.read(SIZE - 10, SIZE)) == 10
