"""A host is never asked too often, too soon, or while it is down, whatever the order of events."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from crawler.frontier.politeness import HostClock, Politeness, Verdict


def exchange(clock: HostClock, start: float, end: float, verdict: Verdict) -> None:
    assert clock.may_start(start)
    clock.started(start)
    clock.ended(end, verdict)


def test_a_new_host_is_ready() -> None:
    assert HostClock(Politeness()).may_start(0.0)


def test_no_more_than_per_host_at_a_time() -> None:
    clock = HostClock(Politeness(per_host=2))
    clock.started(0.0)
    assert clock.may_start(0.0)
    clock.started(0.0)
    assert clock.ready_at == inf
    clock.ended(5.0, Verdict.ALIVE)
    assert clock.may_start(5.0)


def test_the_delay_counts_from_when_the_request_goes_out() -> None:
    """A connection takes time to make; a server must not see the next request by that much sooner."""
    clock = HostClock(Politeness(per_host=4, delay=1.0))
    clock.started(10.0)
    clock.sent(10.4)
    assert clock.ready_at == 11.4


def test_starts_keep_the_delay_however_short_the_exchange() -> None:
    clock = HostClock(Politeness(per_host=4, delay=1.0))
    exchange(clock, 10.0, 10.01, Verdict.ALIVE)
    assert not clock.may_start(10.99)
    assert clock.ready_at == 11.0


def test_no_delay_costs_nothing() -> None:
    clock = HostClock(Politeness(per_host=1, delay=0.0))
    for _ in range(3):
        exchange(clock, 7.0, 7.0, Verdict.ALIVE)
    assert clock.may_start(7.0)


def test_the_larger_of_both_delays_counts_from_the_last_start() -> None:
    """The request for robots.txt is itself a start, made before its Crawl-delay was known."""
    clock = HostClock(Politeness(delay=1.0))
    exchange(clock, 0.0, 0.1, Verdict.ALIVE)
    clock.crawl_delay = 5.0
    assert clock.ready_at == 5.0
    clock.crawl_delay = 0.5
    assert clock.ready_at == 1.0


def test_a_delay_holds_across_a_restart() -> None:
    assert HostClock(Politeness(delay=10.0), last_start=-3.0).ready_at == 7.0


def test_one_broken_page_is_not_a_broken_host() -> None:
    clock = HostClock(Politeness(tolerated=1))
    exchange(clock, 0.0, 1.0, Verdict.FAILED)
    assert clock.may_start(1.0)


def test_silence_doubles_with_each_failure_until_a_success() -> None:
    clock = HostClock(Politeness(tolerated=1, backoff=1.0, backoff_max=5.0))
    exchange(clock, 0.0, 0.0, Verdict.FAILED)
    now, waits = 0.0, []
    for _ in range(5):
        exchange(clock, now, now, Verdict.FAILED)
        waits.append(clock.ready_at - now)
        now = clock.ready_at
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]
    exchange(clock, now, now, Verdict.ALIVE)
    assert clock.may_start(now)
    assert clock.backoff == 0.0


def test_failures_of_one_moment_count_once() -> None:
    """Eight requests under way when a host goes down say one thing, not eight."""
    clock = HostClock(Politeness(per_host=8, tolerated=0, backoff=1.0))
    for _ in range(8):
        clock.started(0.0)
    for _ in range(8):
        clock.ended(0.5, Verdict.FAILED)
    assert clock.backoff == 1.0
    assert clock.ready_at == 1.5


def test_an_answer_under_way_ends_the_silence() -> None:
    """It was sent before the failure, but it is the later news."""
    clock = HostClock(Politeness(per_host=2, tolerated=0, backoff=100.0))
    clock.started(0.0)
    clock.started(0.0)
    clock.ended(1.0, Verdict.FAILED)
    assert clock.ready_at == 101.0
    clock.ended(2.0, Verdict.ALIVE)
    assert clock.may_start(2.0)


def test_a_request_for_less_is_heeded_at_once() -> None:
    clock = HostClock(Politeness(tolerated=3, backoff=2.0))
    exchange(clock, 0.0, 1.0, Verdict.OVERLOADED)
    assert clock.ready_at == 3.0


def test_what_says_nothing_changes_nothing() -> None:
    clock = HostClock(Politeness(tolerated=0, backoff=2.0))
    exchange(clock, 0.0, 0.0, Verdict.FAILED)
    exchange(clock, 2.0, 2.0, Verdict.UNKNOWN)
    assert clock.backoff == 2.0
    assert clock.may_start(2.0)


def test_a_pause_outlives_a_success_and_a_shorter_pause() -> None:
    clock = HostClock(Politeness(per_host=2))
    clock.started(0.0)
    clock.pause_until(60.0)
    clock.pause_until(30.0)
    clock.ended(1.0, Verdict.ALIVE)
    assert clock.ready_at == 60.0


def test_a_thousand_failures_do_not_overflow() -> None:
    clock = HostClock(Politeness(tolerated=0, backoff=1e-3, backoff_max=1e3))
    now = 0.0
    for _ in range(3000):
        exchange(clock, now, now, Verdict.FAILED)
        now = clock.ready_at
    assert clock.backoff == 1e3


def test_misuse_is_a_bug() -> None:
    clock = HostClock(Politeness(per_host=1, delay=1.0))
    with pytest.raises(AssertionError):
        clock.ended(0.0, Verdict.ALIVE)
    clock.started(0.0)
    with pytest.raises(AssertionError):
        clock.started(5.0)


class HostMachine(RuleBasedStateMachine):
    """Any order of starts, ends, pauses and waits; what the site's log would show is checked against the promises.

    All times are sums of powers of two, so that differences are exact.
    """

    def __init__(self) -> None:
        super().__init__()
        self.politeness = Politeness(per_host=3, delay=0.5, backoff=1.0, backoff_max=8.0, tolerated=1)
        self.clock = HostClock(self.politeness)
        self.now = 0.0
        self.active = 0
        self.last_start = -inf
        self.crawl_delay = 0.0
        self.pause = -inf
        self.backoff = 0.0
        self.silent_until = -inf

    @rule(seconds=st.sampled_from([0.0, 0.125, 0.5, 1.0, 7.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.clock.ready_at < inf)
    @rule()
    def wait_until_ready(self) -> None:
        self.now = max(self.now, self.clock.ready_at)
        assert self.clock.may_start(self.now)

    @precondition(lambda self: self.clock.may_start(self.now))
    @rule()
    def start(self) -> None:
        assert self.active < self.politeness.per_host
        assert self.now - self.last_start >= max(self.politeness.delay, self.crawl_delay)
        assert self.now >= self.pause
        assert self.now >= self.silent_until
        self.clock.started(self.now)
        self.active += 1
        self.last_start = self.now

    @precondition(lambda self: self.active > 0)
    @rule(verdict=st.sampled_from(Verdict))
    def end(self, verdict: Verdict) -> None:
        self.clock.ended(self.now, verdict)
        self.active -= 1
        if verdict is Verdict.ALIVE:
            self.backoff, self.silent_until = 0.0, -inf
        else:
            assert self.clock.backoff >= self.backoff, "back-off shrinks only by a success"
            self.backoff = self.clock.backoff
            if verdict is not Verdict.UNKNOWN and self.backoff:
                self.silent_until = max(self.silent_until, self.now + self.backoff)

    @precondition(lambda self: self.active)
    @rule()
    def a_request_goes_out(self) -> None:
        self.clock.sent(self.now)
        self.last_start = self.now

    @rule(seconds=st.sampled_from([-5.0, 0.0, 3.0, 50.0]))
    def server_asks_for_a_pause(self, seconds: float) -> None:
        self.clock.pause_until(self.now + seconds)
        self.pause = max(self.pause, self.now + seconds)

    @rule(seconds=st.sampled_from([0.0, 0.25, 2.0, 60.0]))
    def robots_set_a_delay(self, seconds: float) -> None:
        self.clock.crawl_delay = seconds
        self.crawl_delay = seconds

    @invariant()
    def what_is_blocked_is_ready_later(self) -> None:
        assert self.clock.may_start(self.now) == (self.clock.ready_at <= self.now)
        assert self.clock.active == self.active
        assert (self.clock.ready_at == inf) == (self.active == self.politeness.per_host)
        assert 0.0 <= self.clock.backoff <= self.politeness.backoff_max
        if self.active < self.politeness.per_host:
            delay = max(self.politeness.delay, self.crawl_delay)
            assert self.clock.ready_at == max(self.last_start + delay, self.pause, self.silent_until)


TestHostClock = HostMachine.TestCase
TestHostClock.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
