"""Bytes of an answer go to their place and nowhere else, however they are cut, and while the end comes closer."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from crawler.download.plan.seams import OVERLAP
from crawler.download.proof.checksum import checksum
from crawler.download.worker.landing import Landing

FILE = random.Random(1).randbytes(40_000)


@given(
    st.integers(0, 20_000), st.integers(1, 15_000), st.sampled_from([0, 1, OVERLAP, OVERLAP + 100]),
    st.lists(st.integers(1, 9_000), min_size=1, max_size=20), st.integers(0, 3_000),
)  # fmt: skip
def test_exactly_the_order_is_written(first: int, length: int, skip: int, portions: list[int], extra: int) -> None:
    begins, end = max(0, first - skip), first + length
    body = FILE[begins : end + extra]
    landing = Landing(first, end, begins)
    written = bytearray(len(FILE))
    at = 0
    for portion in [*portions, len(body)]:
        slot = landing.take(body[at : at + portion])
        at += portion
        if slot is not None:
            assert first <= slot.offset
            assert slot.offset + len(slot.data) <= end
            written[slot.offset : slot.offset + len(slot.data)] = slot.data
    assert written[first:end] == FILE[first:end]
    assert (landing.at, landing.is_full) == (end, True)
    assert landing.crc == checksum(FILE[first:end], 0)
    has_window = begins == 0 or first - begins >= OVERLAP
    assert landing.lead == (checksum(FILE[max(0, first - OVERLAP) : first], 0) if first and has_window else None)
    if has_window or length >= OVERLAP:
        assert landing.tail == checksum(FILE[max(0, end - OVERLAP) : end], 0)


def test_an_end_that_comes_closer_is_kept() -> None:
    landing = Landing(0, 1000, 0)
    landing.take(FILE[:400])
    landing.end = 500
    slot = landing.take(FILE[400:1000])
    assert slot is not None
    assert bytes(slot.data) == FILE[400:500]
    assert landing.is_full
    assert landing.take(FILE[1000:1100]) is None


def test_bytes_that_somebody_else_has_are_left_out_of_the_checksum() -> None:
    landing = Landing(100, 300, 100)
    landing.take(FILE[100:300])
    landing.skip(FILE[100:300], 50)
    assert (landing.first, landing.crc) == (150, checksum(FILE[150:300], 0))
