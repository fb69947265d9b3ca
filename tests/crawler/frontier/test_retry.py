"""What heals is tried again, later each time, within three limits; what does not is not."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.frontier.reasons import Reason
from crawler.frontier.retry import CAUSES, GiveUp, Retry, RetryBudget, decide, parse_retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC).timestamp()


def after(reason: Reason, attempt: int = 1, **options: Any) -> Retry | GiveUp:
    settings: dict[str, Any] = {"retries": 5, "base": 1.0, "maximum": 60.0, "retry_after_max": 3600.0, "jitter": 0.0}
    return decide(reason, attempt, **(settings | options))


def delay(reason: Reason, attempt: int = 1, **options: Any) -> float:
    decision = after(reason, attempt, **options)
    assert isinstance(decision, Retry)
    return decision.delay_seconds


def test_every_reason_has_its_line_in_the_table() -> None:
    assert set(CAUSES) == set(Reason)


@pytest.mark.parametrize(
    "reason", [Reason.CONNECT, Reason.DISCONNECTED, Reason.HTTP_5XX, Reason.READ_TIMEOUT, Reason.RATE_LIMITED]
)
def test_what_may_heal_is_tried_again(reason: Reason) -> None:
    assert isinstance(after(reason), Retry)


@pytest.mark.parametrize(
    "reason",
    [Reason.TLS, Reason.PROTOCOL, Reason.HTTP_4XX, Reason.AUTH, Reason.REDIRECT_LIMIT, Reason.TOO_LARGE, Reason.ROBOTS],
)
def test_what_will_not_heal_is_given_up_at_once(reason: Reason) -> None:
    assert after(reason) == GiveUp(exhausted=False)


@pytest.mark.parametrize(("status", "retried"), [(500, True), (503, True), (501, False), (505, False), (599, True)])
def test_some_server_errors_are_not_of_the_moment(status: int, retried: bool) -> None:
    assert isinstance(after(Reason.HTTP_5XX, status=status), Retry) is retried


@pytest.mark.parametrize(("status", "retried"), [(404, False), (410, False), (408, True), (425, True)])
def test_two_client_errors_ask_to_be_repeated(status: int, retried: bool) -> None:
    assert isinstance(after(Reason.HTTP_4XX, status=status), Retry) is retried


def test_the_smaller_of_the_table_and_the_setting_counts() -> None:
    assert after(Reason.CONNECT, 5, retries=5) != GiveUp(exhausted=True)
    assert after(Reason.CONNECT, 6, retries=5) == GiveUp(exhausted=True)
    assert after(Reason.TOTAL_TIMEOUT, 2, retries=5) == GiveUp(exhausted=True)  # each costs the whole timeout
    assert after(Reason.CONNECT, 1, retries=0) == GiveUp(exhausted=True)


def test_the_delay_doubles_up_to_the_maximum() -> None:
    delays = [delay(Reason.CONNECT, attempt, retries=10, maximum=10.0) for attempt in range(1, 8)]
    assert delays == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]  # the fixed half of 1, 2, 4, 8, 10, 10, 10


def test_half_of_the_delay_is_left_to_chance() -> None:
    assert delay(Reason.CONNECT, 2, jitter=0.0) == 1.0
    assert delay(Reason.CONNECT, 2, jitter=0.5) == 1.5
    assert 1.99 < delay(Reason.CONNECT, 2, jitter=0.999) < 2.0


@pytest.mark.parametrize(
    ("asked", "waits"), [(0.0, 0.5), (0.2, 0.5), (30.0, 30.0), (3600.0, 3600.0), (1e9, 3600.0), (-1.0, 0.5)]
)
def test_retry_after_is_a_lower_bound_within_reason(asked: float, waits: float) -> None:
    """FAULTS A21: 0, -1 and a billion seconds are all sent by real servers."""
    assert delay(Reason.HTTP_5XX, retry_after=asked) == waits


@given(
    st.sampled_from(list(Reason)), st.integers(1, 10_000), st.integers(0, 10_000), st.floats(0, 1e6), st.floats(0, 1e6),
    st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 1e12), st.none() | st.integers(100, 999),
)  # fmt: skip
def test_any_delay_is_bounded(
    reason: Reason,
    attempt: int,
    retries: int,
    base: float,
    maximum: float,
    jitter: float,
    asked: float | None,
    status: int | None,
) -> None:
    decision = decide(
        reason, attempt, retries=retries, base=base, maximum=maximum, retry_after_max=100.0, jitter=jitter,
        retry_after=asked, status=status,
    )  # fmt: skip
    if isinstance(decision, Retry):
        assert attempt <= retries
        assert 0.0 <= decision.delay_seconds <= max(maximum, 100.0)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("0000000000000000007", 7.0),
        ("Sun, 01 Mar 2026 12:01:30 GMT", 90.0),
        ("Sunday, 01-Mar-26 12:01:30 GMT", 90.0),
        ("Sun Mar  1 12:01:30 2026", 90.0),
        ("sun, 01 mar 2026 12:01:30 gmt", 90.0),
        ("Sat, 28 Feb 2026 12:00:00 GMT", 0.0),  # past: now
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Wednesday, 01-Jan-70 00:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2026 12:00:60 GMT", 59.0),  # leap second
    ],
)
def test_retry_after_is_read_in_all_its_forms(value: str, seconds: float) -> None:
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    ["", "-1", "1.5", "+3", "soon", "1e3", "nan", "inf", "\u0663", "1 2",
     "Sun, 31 Feb 2026 12:00:00 GMT", "Sun, 01 Mxx 2026 12:00:00 GMT",
     "Sun, 01 Mar 2026 25:00:00 GMT", "Sun, 01 Mar 2026 12:00:61 GMT", "Sun, 01 Mar 0000 12:00:00 GMT",
     "2026-03-01T12:00:00Z"],
)  # fmt: skip
def test_garbage_is_no_retry_after(value: str) -> None:
    assert parse_retry_after(value, NOW) is None


@pytest.mark.parametrize("value", ["9" * 30, "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_huge_retry_after_is_a_finite_number(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is not None
    assert isfinite(seconds)
    assert seconds >= 86400 * 365


@given(st.text(max_size=60))
def test_no_header_breaks_the_parser(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or (isfinite(seconds) and seconds >= 0)


def test_a_small_crawl_may_retry_up_to_the_floor() -> None:
    budget = RetryBudget(share=0.1, floor=3)
    assert [budget.take() for _ in range(5)] == [True, True, True, False, False]
    assert budget.retries == 3


def test_a_flapping_site_cannot_make_more_than_a_tenth_of_the_load() -> None:
    """FAULTS A22: every second answer is a 500, and each failure would like five more tries."""
    budget = RetryBudget(share=0.1, floor=10)
    for number in range(10_000):
        budget.requested()
        if number % 2:
            budget.take()
    assert budget.retries <= 10 + 0.1 * budget.requests
    assert budget.retries > 900  # and what there is is used
