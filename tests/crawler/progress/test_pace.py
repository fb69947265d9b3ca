"""Rates are of the last seconds, and an estimate does not promise what nobody can know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crawler.engine.snapshot import Snapshot
from crawler.progress.pace import Left, Pace

MakeSnapshot = Callable[..., Snapshot]


@pytest.fixture
def at(snapshot: MakeSnapshot) -> MakeSnapshot:
    """Make a snapshot at a time with this many pages done and pending."""

    def make(seconds: float, done: int, pending: int, **more: Any) -> Snapshot:
        figures = {"redirected": 0, "failed": 0, "wire_bytes": done * 1000, "pages": done, **more}
        return snapshot(seconds=seconds, done=done, pending=pending, **figures)

    return make


def test_now_is_the_last_five_seconds(at: MakeSnapshot) -> None:
    pace = Pace()
    for second in range(21):
        done = min(second, 10) * 100 + max(0, second - 10) * 7  # 100 a second, then 7
        pace.add(at(second, done, 10_000))
    assert pace.now() == pytest.approx((7, 7000))


def test_the_first_look_sees_the_average_of_the_run(at: MakeSnapshot) -> None:
    pace = Pace()
    assert pace.now() == (0, 0)
    pace.add(at(4, 100, 50))
    assert pace.now() == pytest.approx((25, 25_000))


def test_nothing_is_estimated_from_a_moment(at: MakeSnapshot) -> None:
    pace = Pace()
    assert pace.left() is None
    pace.add(at(0.5, 10, 50))
    pace.add(at(2.0, 40, 50))
    assert pace.left() is None


def test_a_known_list_takes_what_it_takes(at: MakeSnapshot) -> None:
    pace = Pace()
    for second in range(11):
        pace.add(at(second, second * 10, 1000 - second * 10))
    assert pace.left() == pytest.approx((90, 90))


def test_a_queue_that_grows_has_no_end_in_sight(at: MakeSnapshot) -> None:
    pace = Pace()
    for second in range(11):
        pace.add(at(second, second * 10, 1000 + second * 50))
    left = pace.left()
    assert left is not None
    assert left.low == pytest.approx(150)
    assert left.high is None


def test_new_links_make_a_range(at: MakeSnapshot) -> None:
    pace = Pace()
    for second in range(11):
        pace.add(at(second, second * 10, 1000 - second * 5))  # ten end, five come
    assert pace.left() == pytest.approx((95, 190))


def test_a_slow_host_that_is_left_over_widens_the_range(at: MakeSnapshot) -> None:
    """Two seconds of full speed must not promise that the last host, which is asked slowly, ends as fast."""
    pace = Pace()
    for second in range(31):
        done = min(second, 20) * 100 + max(0, second - 20)
        pace.add(at(second, done, 3000 - done))
    left = pace.left()
    assert left is not None
    assert left.high == pytest.approx(990, rel=0.01), "at one a second"
    assert left.low < 20


def test_a_standstill_promises_nothing(at: MakeSnapshot) -> None:
    pace = Pace()
    for second in range(40):
        pace.add(at(second, 100, 1000))
    assert pace.left() is None


def test_a_limit_of_pages_ends_it_sooner(at: MakeSnapshot) -> None:
    pace = Pace(max_pages=200)
    for second in range(11):
        pace.add(at(second, second * 10, 1000 + second))
    assert pace.left() == pytest.approx((10, 10))


def test_a_limit_of_time_holds_at_a_standstill_too(at: MakeSnapshot) -> None:
    pace = Pace(max_seconds=60)
    for second in range(41):
        pace.add(at(second, 100, 1000))
    assert pace.left() == Left(0, 20)


def test_memory_is_bounded(at: MakeSnapshot) -> None:
    pace = Pace()
    for look in range(10_000):
        pace.add(at(look / 3, look, 100))
    assert len(pace._marks) < 100
