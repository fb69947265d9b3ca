"""When deaths in a row say that starting yet another worker is pointless."""

from __future__ import annotations

from pipelines.pool.breaker import MAX_CRASHES, MAX_START_FAILURES, MOST_CRASHES, Breaker


def crashes_until_open(breaker: Breaker) -> int:
    count = 1
    while not breaker.crashed(finished=0):
        count += 1
        assert count < 10_000
    return count


def test_a_pool_that_never_worked_is_given_up_soon() -> None:
    assert crashes_until_open(Breaker()) == MAX_CRASHES


def test_a_pool_that_has_worked_for_long_is_given_more_time_but_not_for_ever() -> None:
    breaker = Breaker()
    for _ in range(5000):
        breaker.finished()
    assert crashes_until_open(breaker) == 500
    for _ in range(1_000_000):
        breaker.finished()
    assert crashes_until_open(breaker) == MOST_CRASHES


def test_a_worker_that_had_finished_something_does_not_count() -> None:
    breaker = Breaker()
    assert not any(breaker.crashed(finished=1) for _ in range(1000))


def test_an_answer_ends_the_row() -> None:
    breaker = Breaker()
    for _ in range(10):
        assert not any(breaker.crashed(finished=0) for _ in range(MAX_CRASHES - 1))
        breaker.finished()


def test_starts_that_fail_count_unless_others_work() -> None:
    breaker = Breaker()
    assert not any(breaker.failed_to_start(others_work=True) for _ in range(100))
    breaker.started()
    assert [breaker.failed_to_start(others_work=False) for _ in range(MAX_START_FAILURES)][-1]
