"""What moves is believed, what stalls is noticed, what begins is not blamed."""

from __future__ import annotations

import pytest

from crawler.download.plan.rates import DEFAULT_RATE, Pace, Rates

USUAL = 1e6


def moved(*reports: tuple[float, int]) -> Pace:
    pace = Pace(0.0, 0)
    for now, upto in reports:
        pace.moved(upto, now)
    return pace


def test_an_order_that_has_just_begun_is_as_fast_as_the_others() -> None:
    assert moved().rate(0, 0.1, USUAL, 0.05) == USUAL


def test_an_order_without_any_answer_is_not() -> None:
    assert moved().rate(0, 2.0, USUAL, 0.05) < USUAL / 1000
    assert moved().rate(0, 2.0, USUAL, 1.0) == USUAL, "far away all begin late"


def test_steady_movement_is_measured() -> None:
    pace = moved(*((tick / 10, tick * 10_000) for tick in range(1, 31)))
    assert pace.rate(300_000, 3.0, USUAL, 0.0) == pytest.approx(1e5, rel=0.01)


def test_the_last_second_counts_and_not_the_hour_before() -> None:
    reports = [(tick / 10, tick * 10_000) for tick in range(1, 101)]
    reports += [(10 + tick / 10, 1_000_000 + tick * 1000) for tick in range(1, 16)]
    assert moved(*reports).rate(1_015_000, 11.5, USUAL, 0.0) == pytest.approx(1e4, rel=0.05)


def test_silence_is_noticed_within_a_second() -> None:
    pace = moved(*((tick / 10, tick * 10_000) for tick in range(1, 31)))
    assert pace.rate(300_000, 4.1, USUAL, 0.0) < 4e4
    assert pace.rate(300_000, 60.0, USUAL, 0.0) < 1e3


def test_where_it_is_by_now_is_guessed_for_the_time_of_one_report_and_short_of_the_end() -> None:
    pace = moved((1.0, 1000))
    assert pace.guess(1000, 10**6, 1e4, 1.1) == pytest.approx(2000, abs=1)
    assert pace.guess(1000, 10**6, 1e4, 9.0) == pytest.approx(3000, abs=1)
    assert pace.guess(1000, 1500, 1e4, 9.0) == 1499
    assert moved().guess(0, 10, 1e9, 5.0) == 0


@pytest.mark.parametrize(("now", "upto"), [(1.0, 0), (0.0, 100)])
def test_nothing_is_measured_of_nothing(now: float, upto: int) -> None:
    assert moved().measured(0, upto, now) is None


def test_the_usual_rate_is_that_of_the_middle() -> None:
    rates = Rates()
    assert (rates.usual, rates.is_known) == (DEFAULT_RATE, False)
    for lane, rate in enumerate([1.0, 2.0, 30.0]):
        rates.reached(lane, rate)
    assert (rates.usual, rates.is_known) == (2.0, True)
    assert (rates.lane(2), rates.lane(None), rates.lane(7)) == (30.0, 2.0, 2.0)


def test_what_a_lane_has_reached_fades() -> None:
    rates = Rates()
    for _ in range(10):
        rates.reached(1, 100.0)
    for _ in range(4):
        rates.reached(1, 0.0)
    assert rates.lane(1) == pytest.approx(100 / 16)


def test_lanes_are_not_remembered_without_bound() -> None:
    rates = Rates()
    for lane in range(1000):
        rates.reached(-lane, float(lane))
    assert rates.usual > 900


def test_latency_is_an_average_that_moves() -> None:
    rates = Rates()
    rates.began(1.0)
    assert rates.latency == 1.0
    rates.began(0.0)
    assert rates.latency == 0.75
