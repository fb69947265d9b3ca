"""Neighbouring runs have to agree about the bytes where they meet, in whatever order they landed."""

from __future__ import annotations

from itertools import pairwise, permutations
from random import Random
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.download.plan.seams import OVERLAP, Mismatch, Seams

SIZE = 5 * OVERLAP
FILE = Random(1).randbytes(SIZE)
OTHER = Random(2).randbytes(SIZE)


def run(first: int, end: int, body: bytes = FILE, shift: int = 0) -> tuple[int, int, int | None, int]:
    """Return what a worker reports that received [first - OVERLAP, end) of `body`, from `shift` further on."""

    def part(start: int, stop: int) -> int:
        return crc32(body[start + shift : stop + shift])

    return first, end, part(max(0, first - OVERLAP), first) if first else None, part(max(0, end - OVERLAP), end)


def audit(*runs: tuple[int, int, int | None, int | None]) -> list[Mismatch]:
    seams = Seams()
    return [mismatch for each in runs for mismatch in seams.landed(*each)]


BORDERS = st.lists(st.integers(1, SIZE - 1), unique=True, max_size=6).map(sorted)


@given(BORDERS, st.randoms(use_true_random=False))
def test_right_runs_fit_in_any_order(borders: list[int], random: Random) -> None:
    """Runs shorter than the overlap too: their tail reaches into what they received before their first byte."""
    runs = [run(first, end) for first, end in pairwise([0, *borders, SIZE])]
    random.shuffle(runs)
    assert audit(*runs) == []


@given(BORDERS.filter(bool), st.data())
def test_one_wrong_run_is_found_in_any_order(borders: list[int], data: st.DataObject) -> None:
    edges = list(pairwise([0, *borders, SIZE]))
    bad = data.draw(st.sampled_from(edges))
    runs = data.draw(st.permutations([run(*edge, OTHER if edge == bad else FILE) for edge in edges]))
    found = audit(*runs)
    assert {mismatch.border for mismatch in found} == {border for border in bad if 0 < border < SIZE}
    assert all(mismatch.first <= bad[0] and bad[1] <= mismatch.end for mismatch in found)


def test_d07_shifted_with_lying_header_is_found_at_its_seam() -> None:
    """The header says what was asked for and the body is 7 bytes further on: nothing but the bytes can tell."""
    runs = [run(0, 8192), run(8192, 16384, shift=7), run(16384, SIZE)]
    for order in permutations(runs):
        assert {(m.first, m.end, m.border) for m in audit(*order)} == {(0, 16384, 8192), (8192, SIZE, 16384)}


def test_d33_bytes_change_under_the_same_etag() -> None:
    assert audit(run(0, 8192), run(8192, SIZE, OTHER)) == [Mismatch(0, SIZE, 8192)]


def test_d37_d58_mirror_with_another_version_of_equal_size() -> None:
    found = audit(run(0, 4000), run(4000, 9000, OTHER), run(9000, SIZE))
    assert [mismatch.border for mismatch in found] == [4000, 9000]


def test_d87_resume_against_another_version() -> None:
    """The tail comes from the journal, the lead from the first request of the new run."""
    assert audit(run(0, 8192), run(8192, 9000, OTHER)) != []


def test_d54_a_block_at_the_wrong_place_is_found() -> None:
    swapped = FILE[:8192] + FILE[12288:16384] + FILE[8192:12288] + FILE[16384:]
    assert audit(run(0, 8192), run(8192, 12288, swapped), run(12288, SIZE)) != []


def test_without_an_overlap_nothing_is_compared() -> None:
    seams = Seams()
    assert seams.landed(0, 10, None, 1) == seams.landed(10, 20, None, 2) == seams.landed(20, 30, 2, 3) == []


@pytest.mark.parametrize("first", [0, 5])
def test_a_run_of_no_bytes_is_no_neighbour(first: int) -> None:
    seams = Seams()
    assert seams.landed(first, first, 1, 2) == []
    assert seams.landed(0, first, None, 3) == seams.landed(first, 9, 4, 5)[:0]


def test_what_was_discarded_is_forgotten_and_its_successor_compared() -> None:
    seams = Seams()
    assert seams.landed(*run(0, 8192)) == []
    assert seams.landed(*run(8192, SIZE, OTHER)) == [Mismatch(0, SIZE, 8192)]
    seams.forget(8192, SIZE)
    assert seams.landed(*run(8192, SIZE)) == []
    seams.forget(0, 1)
    assert seams.landed(*run(0, 8192, OTHER)) == [Mismatch(0, SIZE, 8192)]
    seams.forget(0, SIZE)
    assert seams.landed(*run(8192, SIZE, OTHER)) == []


def test_a_run_agrees_with_those_it_was_held_against() -> None:
    seams = Seams()
    for each in (run(0, 8192), run(12288, SIZE)):
        seams.landed(*each)
        assert seams.agreed(each[0]) == []
    seams.landed(*run(8192, 12288))
    assert seams.agreed(8192) == [0, 12288]
    assert seams.agreed(0) == [8192]


def test_nothing_agrees_where_no_overlap_came() -> None:
    seams = Seams()
    seams.landed(0, 8192, None, None)
    seams.landed(8192, SIZE, None, 1)
    assert seams.agreed(0) == seams.agreed(8192) == []
