"""Where the next order goes: home first, elsewhere where that has no room, and never to who has something else."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from crawler.download.plan.refusals import Refusal
from crawler.download.plan.spread import FAR, Spread

HOME, A, B = "http://home/", "http://a/", "http://b/"
ALL = (HOME, A, B)


def spread(*joined: str, places: tuple[str, ...] = ALL) -> Spread:
    of = Spread(HOME, 8)
    for place in places:
        of.meet(place, Refusal())
    for place in joined:
        of.joined(HOME, place)
    return of


@given(lane=st.integers(0, 50), reach=st.integers(0, 8), busy=st.integers(0, 20), rate=st.floats(1, 1e9))
def test_one_place_is_all_there_is(lane: int, reach: int, busy: int, rate: float) -> None:
    of = spread(places=(HOME,))
    of.measured(HOME, rate)
    for _ in range(busy):
        of.entered(HOME)
    assert of.ranked(lane, [HOME], 0.0, reach=reach, avoid=HOME) == [HOME]
    assert of.lane(lane, HOME) == lane


def test_home_comes_first_then_who_is_joined_then_who_may_be() -> None:
    assert spread(B).ranked(0, ALL, 0.0) == [HOME, B, A]


def test_a_lane_stays_where_it_is_and_has_a_rate_of_its_own_there() -> None:
    of = spread(A, B)
    of.settled(3, B)
    assert of.ranked(3, ALL, 0.0) == [B, HOME, A]
    assert len({of.lane(lane, place) for lane in range(8) for place in ALL}) == 24


def test_a_refusal_counts_where_it_was_told() -> None:
    of = spread(A)
    of.entered(HOME)
    of.refused(HOME, 1, 0.0)
    assert of.ranked(0, ALL, 0.0) == [A, B]
    assert of.ranked(0, ALL, 31.0) == [HOME, A, B], "and is forgiven there"


def test_an_order_that_is_helped_is_helped_from_elsewhere_but_by_no_stranger() -> None:
    assert spread(A).ranked(0, ALL, 0.0, avoid=HOME) == [A, HOME, B]
    assert spread().ranked(0, ALL, 0.0, avoid=HOME) == [HOME, A, B]


def test_a_stranger_gets_one_order_until_its_bytes_were_compared() -> None:
    of = spread()
    of.entered(A)
    assert A not in of.ranked(1, ALL, 0.0)
    of.landed(A)
    of.left(A)
    assert A not in of.ranked(1, ALL, 0.0)
    of.joined(B, A)
    assert A not in of.ranked(1, ALL, 0.0), "another stranger proves nothing"
    of.joined(A, HOME)
    assert A in of.ranked(1, ALL, 0.0)


def test_a_far_slower_place_gets_nothing_more() -> None:
    of = spread(A)
    of.measured(HOME, 1000.0)
    of.measured(A, 1000.0 / FAR)
    assert A in of.ranked(0, ALL, 0.0)
    of.measured(A, 1.0)
    assert A not in of.ranked(0, ALL, 0.0)
    assert of.ranked(0, [A], 0.0) == [A], "unless it is the only one"


def test_one_connection_more_is_tried_elsewhere_and_stays_only_if_it_helps() -> None:
    for helped in (True, False):
        of = spread()
        assert of.ranked(5, ALL, 0.0, reach=3)[0] == A
        of.settled(5, A, reach=3)
        assert of.ranked(6, ALL, 0.0, reach=3)[0] == HOME, "one"
        of.joined(A, HOME)
        of.tried(3 if helped else 2)
        assert of.ranked(5, ALL, 0.0)[0] == (A if helped else HOME)


def test_where_nobody_is_joined_any_more_the_next_best_has_to_do() -> None:
    of = spread()
    of.foreign(A)
    of.doubtful(B)
    assert of.ranked(0, [A, B], 0.0) == [B], "home may come back"
    assert of.ranked(0, [A], 0.0) == []
    assert of.ranked(0, [A], 0.0, is_anchored=False) == [A]


class Places(RuleBasedStateMachine):
    """Random events at three places."""

    @initialize()
    def begin(self) -> None:
        self.spread = spread()
        self.now = 0.0
        self.lanes: dict[int, str] = {}
        self.foreign: set[str] = set()
        self.proven = {HOME}
        self.awaited: set[str] = set()
        self.limits: dict[str, tuple[int, float]] = {}

    def at(self, place: str) -> int:
        return sum(where == place for where in self.lanes.values())

    @rule(lane=st.integers(0, 7), reach=st.integers(0, 8), which=st.integers(0, 2), avoid=st.sampled_from(ALL))
    def go(self, lane: int, reach: int, which: int, avoid: str) -> None:
        if lane in self.lanes:
            return
        ranked = self.spread.ranked(lane, ALL, self.now, reach=reach, avoid=avoid)
        assert len(set(ranked)) == len(ranked)
        assert not self.foreign & set(ranked)
        if not self.limits:
            assert HOME in ranked, "home has room where nothing was refused"
        for place in ranked:
            limit, since = self.limits.get(place, (8, self.now))
            assert self.now - since >= 30 or self.at(place) < limit
            assert place in self.proven or (not self.at(place) and place not in self.awaited)
        if ranked:
            place = ranked[which % len(ranked)]
            self.spread.entered(place)
            self.spread.settled(lane, place, reach=reach)
            self.lanes[lane] = place

    @rule(lane=st.integers(0, 7), refused=st.booleans(), landed=st.booleans())
    def end(self, lane: int, refused: bool, landed: bool) -> None:
        place = self.lanes.pop(lane, None)
        if place is None:
            return
        if refused and self.at(place):
            self.spread.refused(place, self.at(place), self.now)
            self.limits[place] = self.at(place), self.now
        elif landed:
            self.spread.landed(place)
            self.awaited.add(place)
        self.spread.left(place)

    @rule(place=st.sampled_from((A, B)), other=st.sampled_from(ALL))
    def compare(self, place: str, other: str) -> None:
        self.spread.joined(place, other)
        if {place, other} & self.proven:
            self.proven |= {place, other}

    @rule(place=st.sampled_from((A, B)))
    def differ(self, place: str) -> None:
        self.spread.foreign(place)
        self.foreign.add(place)

    @rule(seconds=st.floats(0, 40), connections=st.integers(1, 8))
    def wait(self, seconds: float, connections: int) -> None:
        self.now += seconds
        self.spread.tried(connections)

    @invariant()
    def home_is_believed(self) -> None:
        assert self.spread.is_joined(HOME)
        assert not any(self.spread.is_joined(place) for place in self.foreign)


TestPlaces = Places.TestCase
TestPlaces.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
