"""What hosts were seen to refuse is known to their other files, for a while; numbers for time."""

from __future__ import annotations

import pytest

from crawler.download.plan.refusals import FORGIVE, LAST_PAUSE, MAX_HOSTS, Refusal, Refusals

HOST = "example.org"


def test_d22_a_host_that_refused_is_remembered_and_no_other() -> None:
    of = Refusals(8)
    of.refused(HOST, 3, 0.0)
    assert of.above(HOST, 1.0) == 3
    assert of.above("example.com", 1.0) is None
    assert of.of("example.com", 1.0).above is None


def test_d22_of_a_burst_the_least_counts_and_the_pause_is_that_of_one() -> None:
    """Eight connections to a server that takes two are six refusals within a moment, and one piece of news."""
    of = Refusals(8)
    for others in (7, 6, 5, 4, 3, 2):
        of.refused(HOST, others, 0.1)
    assert of.above(HOST, FORGIVE) == 2
    assert of.above(HOST, 0.1 + FORGIVE) == 3


def test_d22_beside_none_is_beside_one() -> None:
    """One connection always remains."""
    refusal = Refusal()
    refusal.refused(0, 0.0)
    assert refusal.above == 1


def test_d22_what_is_refused_again_is_tried_later_and_later() -> None:
    of = Refusals(8)
    now, pause = 0.0, FORGIVE
    for _ in range(6):
        of.refused(HOST, 2, now)
        assert of.above(HOST, now + pause - 0.1) == 2
        assert of.above(HOST, now + pause) == 3
        now, pause = now + pause, min(2 * pause, LAST_PAUSE)
    assert pause == LAST_PAUSE


@pytest.mark.parametrize("looks", [1, 100])
def test_d22_time_forgives_whether_anybody_looks_or_not(looks: int) -> None:
    of = Refusals(8)
    of.refused(HOST, 2, 0.0)
    for look in range(looks):
        of.above(HOST, 3.5 * FORGIVE * look / looks)
    assert of.above(HOST, 3.5 * FORGIVE) == 5


def test_d22_what_is_all_forgiven_is_forgotten() -> None:
    of = Refusals(4)
    of.refused(HOST, 2, 0.0)
    assert len(of) == 1
    assert of.above(HOST, 2 * FORGIVE) is None
    assert len(of) == 0
    of.refused(HOST, 3, 1e6)
    assert of.above(HOST, 1e6) == 3, "what was refused long ago is no part of it"


def test_d22_a_file_goes_its_own_way() -> None:
    """What a mirror refuses to it says nothing of the host it began with."""
    of = Refusals(8)
    of.refused(HOST, 5, 0.0)
    own = of.of(HOST, 1.0)
    own.refused(2, 1.0)
    assert of.above(HOST, 1.0) == 5


def test_d22_no_more_hosts_are_remembered_than_there_is_room_for() -> None:
    """A crawl meets millions. Those go whose refusal is the longest ago."""
    of = Refusals(8)
    for number in range(MAX_HOSTS):
        of.refused(f"h{number}", 2, 0.0)
    of.refused("h0", 2, 1.0)
    of.refused("another", 2, 1.0)
    assert len(of) == MAX_HOSTS
    assert [of.above(name, 1.0) for name in ("h0", "h1", "h2", "another")] == [2, None, 2, 2]
