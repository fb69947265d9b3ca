"""The interval map against a set of numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crawler.download.plan.spans import Spans

LIMIT = 40
SPAN = st.tuples(st.integers(0, LIMIT), st.integers(0, LIMIT))
STEPS = st.lists(st.tuples(st.booleans(), SPAN), max_size=12)


def made(steps: list[tuple[bool, tuple[int, int]]]) -> tuple[Spans, set[int]]:
    spans, numbers = Spans(), set[int]()
    for is_added, (first, end) in steps:
        if is_added:
            spans.add(first, end)
            numbers |= set(range(first, end))
        else:
            spans.remove(first, end)
            numbers -= set(range(first, end))
    return spans, numbers


@given(STEPS)
def test_holds_what_a_set_holds(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    spans, numbers = made(steps)
    assert {number for first, end in spans for number in range(first, end)} == numbers
    assert spans.total == len(numbers)
    assert bool(spans) is bool(numbers)
    assert len(spans) == len(list(spans))


@given(STEPS)
def test_intervals_are_in_order_not_empty_and_do_not_touch(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    edges = [edge for span in made(steps)[0] for edge in span]
    assert edges == sorted(set(edges))


@given(STEPS, SPAN)
def test_answers_what_a_set_answers(steps: list[tuple[bool, tuple[int, int]]], span: tuple[int, int]) -> None:
    spans, numbers = made(steps)
    first, end = span
    asked = set(range(first, end))
    assert spans.covers(first, end) is (asked <= numbers)
    assert spans.count(first, end) == len(asked & numbers)
    assert [n for a, b in spans.within(first, end) for n in range(a, b)] == sorted(asked & numbers)
    assert [n for a, b in spans.gaps(first, end) for n in range(a, b)] == sorted(asked - numbers)
    assert all(a < b for a, b in spans.gaps(first, end) + spans.within(first, end))
    assert spans.first_gap(first) == next(n for n in range(first, LIMIT + 2) if n not in numbers)
    assert (spans.first() is None) is (not numbers)
    assert (spans.first() or (min(numbers, default=0),))[0] == min(numbers, default=0)


@given(STEPS, SPAN)
def test_cuts_lose_nothing(steps: list[tuple[bool, tuple[int, int]]], span: tuple[int, int]) -> None:
    """What is taken out and what is left are the whole."""
    spans, _ = made(steps)
    whole = spans.copy()
    part = Spans(spans.within(*span))
    spans.remove(*span)
    assert spans.total + part.total == whole.total
    for first, end in part:
        spans.add(first, end)
    assert spans == whole


@given(STEPS)
def test_a_copy_lives_alone(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    spans, numbers = made(steps)
    spans.copy().add(0, LIMIT + 1)
    assert spans.total == len(numbers)
    assert spans == Spans(reversed(list(spans)))
    assert spans != Spans([(0, LIMIT + 1)])
    assert spans != 1


def test_d121_d122_ten_thousand_pieces_of_a_file_larger_than_32_bits() -> None:
    piece, count = 2**22, 10_000
    spans = Spans((number * piece, (number + 1) * piece) for number in range(0, count, 2))
    assert len(spans) == count // 2
    for number in range(count - 1, 0, -2):
        spans.add(number * piece, (number + 1) * piece)
    assert list(spans) == [(0, count * piece)]
    assert spans.total == 41_943_040_000
