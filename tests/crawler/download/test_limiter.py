"""A rate is kept on average, and what was not used does not pile up."""

from __future__ import annotations

import pytest

from crawler.download.worker.limiter import BURST_SECONDS, Limiter


def test_a_rate_is_kept_on_average() -> None:
    limiter, now = Limiter(1000.0), 0.0
    for size in (10, 500, 90, 1000, 400) * 10:
        now += limiter.take(size, now)
    assert now == pytest.approx(20.0, abs=1.1 * BURST_SECONDS)


def test_an_idle_hour_buys_a_tenth_of_a_second() -> None:
    limiter = Limiter(1000.0)
    assert limiter.take(1000, 3600.0) == pytest.approx(1.0 - BURST_SECONDS)


def test_no_limit_never_waits() -> None:
    assert Limiter().take(1 << 40, 0.0) == 0.0


def test_what_is_owed_is_owed_at_the_new_rate() -> None:
    limiter = Limiter(1000.0)
    limiter.take(1100, 0.0)
    limiter.change(500.0, 0.0)
    assert limiter.take(0, 0.0) == pytest.approx(2.0)
    limiter.change(0.0, 1.0)
    assert limiter.take(10, 1.0) == 0.0
