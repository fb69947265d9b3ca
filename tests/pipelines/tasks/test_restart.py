"""Restarts are decided by a pure function: years of failures in no time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.tasks.restart import Again, Backoff, Over, Restart, RestartPolicy

EVEN = Backoff(first=1.0, factor=2.0, maximum=60.0, jitter=0.0, reset_after=100.0)
ERROR = ValueError("bad")


def test_delays_double_up_to_the_maximum() -> None:
    assert [EVEN.delay(number, 0.9) for number in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_delay_of_the_thousandth_restart_is_no_overflow() -> None:
    assert EVEN.delay(5000, 0.0) == 60


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.floats(0, 1))
def test_jitter_only_shortens_and_by_no_more_than_its_share(number: int, chance: float, jitter: float) -> None:
    """So `maximum` is a maximum, and the shares of many services spread."""
    backoff = Backoff(first=0.5, maximum=30.0, jitter=jitter)
    full = Backoff(first=0.5, maximum=30.0, jitter=0.0).delay(number, chance)
    assert full * (1 - jitter) <= backoff.delay(number, chance) <= full


def test_never_ends_with_the_first_error() -> None:
    policy = RestartPolicy(Restart.NEVER, None, EVEN)
    assert isinstance(policy.after(ERROR, 0.0, 0, 0.0), Over)
    assert isinstance(policy.after(None, 0.0, 0, 0.0), Over)


def test_a_return_is_an_end_unless_always() -> None:
    assert isinstance(RestartPolicy(Restart.ON_ERROR, None, EVEN).after(None, 0.0, 0, 0.0), Over)
    again = RestartPolicy(Restart.ALWAYS, 0, EVEN).after(None, 0.0, 7, 0.0)
    assert again == Again(1.0, 0), "returns are no failures: not counted, and the delay does not grow"


def test_failures_in_a_row_are_counted_up_to_the_limit() -> None:
    policy = RestartPolicy(Restart.ON_ERROR, 3, EVEN)
    failures, delays = 0, []
    while isinstance(step := policy.after(ERROR, 0.1, failures, 0.0), Again):
        failures = step.failures
        delays.append(step.delay_seconds)
    assert delays == [1, 2, 4]
    assert step.why == "restarted 3 times in a row"


def test_a_long_life_starts_the_count_anew() -> None:
    """A task that fails once a day must not be given up in a week."""
    policy = RestartPolicy(Restart.ON_ERROR, 1, EVEN)
    failures = 0
    for _ in range(1000):
        step = policy.after(ERROR, 100.0, failures, 0.0)
        assert step == Again(1.0, 1)
        failures = step.failures


@pytest.mark.parametrize(
    "wrong",
    [{"first": 0}, {"first": 61}, {"factor": 0.5}, {"jitter": 1.1}, {"jitter": -0.1}, {"reset_after": -1}],
)
def test_senseless_values_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="backoff"):
        Backoff(**wrong)
