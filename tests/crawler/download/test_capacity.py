"""How many connections help, learned from nothing but the rate of all of them together."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crawler.download.plan.capacity import FIRST_TRIAL, GLANCE, LEAST, SETTLE, Capacity
from crawler.download.plan.refusals import FORGIVE, Refusal

TICK = 0.1


def drive(of: Capacity, rate: Callable[[int], float], seconds: float, now: float = 0.0) -> list[int]:
    """Let as many connections work as are wanted; return how many those were at each tick."""
    seen = []
    for tick in range(int(seconds / TICK)):
        of.moved(int(rate(of.current) * TICK), of.current, now + tick * TICK)
        seen.append(of.current)
    return seen


def test_all_that_are_allowed_from_the_first_moment() -> None:
    assert Capacity(8).current == 8


def test_nothing_is_tried_in_a_short_download() -> None:
    assert set(drive(Capacity(8), lambda _: 1e8, FIRST_TRIAL)) == {8}


@pytest.mark.parametrize("limit", [3, 8, 16, 64])
def test_a_line_that_few_can_fill_is_left_to_few(limit: int) -> None:
    of = Capacity(limit)
    assert drive(of, lambda _: 1e8, 60)[-1] == LEAST


@pytest.mark.parametrize("limit", [3, 8, 16, 64])
def test_where_each_brings_its_share_all_are_kept(limit: int) -> None:
    """What the trials cost in ten minutes is less than one part in a hundred."""
    seen = drive(Capacity(limit), lambda count: count * 1e7, 600)
    assert sum(seen) / len(seen) >= 0.99 * limit
    assert seen[-1] == limit


def test_a_trial_that_loses_is_over_after_a_glance() -> None:
    seen = drive(Capacity(8), lambda count: count * 1e7, FIRST_TRIAL + 7)
    assert 0 < seen.count(7) * TICK <= GLANCE + SETTLE + 3 * TICK
    assert seen[-1] == 8


def test_as_many_as_fill_the_line_remain() -> None:
    seen = drive(Capacity(16), lambda count: min(count, 5) * 2e7, 300)
    rate = sum(min(count, 5) for count in seen) / len(seen) / 5
    assert rate >= 0.98
    assert seen[-1] <= 7


def test_what_was_given_up_is_tried_again_when_it_would_help() -> None:
    of = Capacity(8)
    drive(of, lambda _: 1e8, 60)
    assert of.current == LEAST
    seen = drive(of, lambda count: count * 5e7, 600, now=60)  # the line became wider
    assert seen[-1] >= 7


@pytest.mark.parametrize("limit", [1, 2])
def test_one_or_two_are_never_too_many(limit: int) -> None:
    assert set(drive(Capacity(limit), lambda _: 1e8, 100)) == {limit}


def test_d22_a_refusal_counts_at_once_and_is_forgiven_later_and_later() -> None:
    of = Capacity(8)
    drive(of, lambda count: count * 1e7, 2)
    of.refused(4, 2.0)
    assert (of.current, of.refused_above) == (4, 4)
    assert set(drive(of, lambda count: count * 1e7, FORGIVE - 1, now=2)) <= {3, 4}
    drive(of, lambda count: count * 1e7, 5, now=FORGIVE)
    assert (of.current, of.refused_above) == (5, 5)
    of.refused(4, 40.0)
    assert set(drive(of, lambda count: count * 1e7, 2 * FORGIVE - 1, now=40)) <= {3, 4}
    drive(of, lambda count: count * 1e7, 5, now=40 + 2 * FORGIVE)
    assert of.current == 5


def test_d22_the_least_that_was_refused_counts() -> None:
    of = Capacity(8)
    of.refused(5, 0.0)
    of.refused(6, 0.0)
    assert of.current == 5
    of.refused(0, 0.0)
    assert of.current == 1


def test_d22_where_nothing_is_refused_any_more_the_refusal_is_forgotten() -> None:
    of = Capacity(4)
    of.refused(2, 0.0)
    seen = drive(of, lambda count: count * 1e7, 400)
    assert of.refused_above is None
    assert seen[-1] == 4


def test_d22_what_another_file_met_is_where_this_one_begins() -> None:
    """No more than the server was seen to serve, and one more when it is time."""
    known = Refusal()
    known.refused(3, 0.0)
    of = Capacity(8, known)
    assert (of.current, of.refused_above) == (3, 3)
    assert set(drive(of, lambda count: count * 1e7, FORGIVE - 1)) <= {2, 3}
    drive(of, lambda count: count * 1e7, 5, now=FORGIVE)
    assert of.current == 4


def test_d22_a_server_that_takes_more_than_is_allowed_limits_nothing() -> None:
    known = Refusal()
    known.refused(20, 0.0)
    assert Capacity(8, known).current == 8


def test_while_connections_are_missing_nothing_is_concluded() -> None:
    """At the lead, or at the end, fewer are at work for other reasons."""
    of = Capacity(8)
    for tick in range(1000):
        of.moved(10**6, tick % 8, tick * TICK)
    assert of.current == 8


def test_whoever_spreads_connections_is_told_when_one_more_is_tried() -> None:
    """Only then: a place that may help is asked in the trial, and measured by it."""
    of = Capacity(8)
    drive(of, lambda _: 1e8, 60)
    told = set()
    for tick in range(600, 1200):
        of.moved(int(1e7), of.current, tick * TICK)
        told.add((of.is_reaching, of.current))
    assert told == {(False, LEAST), (True, LEAST + 1)}
