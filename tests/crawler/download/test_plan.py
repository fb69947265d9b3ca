"""Who fetches what next: in order, fast to the end, polite to the server, and no byte twice."""

from __future__ import annotations

from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.download.plan.plan import MAX_PIECE, MIN_PIECE, Hedge, Order, Plan, Steal, piece_for
from crawler.download.plan.sizes import KIB, MIB, SMALLEST
from crawler.download.plan.spans import Spans
from tests.support.download_world import World

LEAD = 256 * MIB


def plan(
    size: int, segments: int = 4, *, done: Spans | None = None, lead: int = LEAD, piece: int | None = None
) -> Plan:
    return Plan(size, done or Spans(), segments, piece or piece_for(size, segments), lead)


def taken(of: Plan, now: float = 0.0, lane: int | None = None) -> Order:
    order = of.take(now, lane)
    assert order is not None
    return order


def stalled(size: int = 4 * MIB) -> tuple[Plan, Order, float]:
    """One order that has half of the file and stopped moving; another connection is known to be fast, and idle."""
    of = plan(size, 2)
    quick = of.begun(0, size // 2, 0.0, lane=0)
    slow = of.begun(size // 2, size, 0.0, lane=1)
    for tick in range(1, 11):
        of.progress(quick.id, size // 2 * tick // 10, tick / 10)
    of.progress(slow.id, slow.first + 4096, 0.1)
    assert of.landed(quick.id, 1.0) == ()
    return of, slow, 3.0


# -- sizes and order


@pytest.mark.parametrize("segments", [1, 2, 4, 8, 100])
@pytest.mark.parametrize("size", [0, 1, MIB, 16 * MIB, 100 * MIB, 2 * 10**9, 2**40])
def test_pieces_are_whole_mebibytes_within_bounds(size: int, segments: int) -> None:
    piece = piece_for(size, segments)
    assert MIN_PIECE <= piece <= MAX_PIECE
    assert piece % MIB == 0


def test_orders_are_taken_in_order_and_without_gaps() -> None:
    of = plan(64 * MIB, 4)
    orders = [taken(of) for _ in range(4)]
    assert orders[0].first == 0
    assert all(left.end == right.first for left, right in pairwise(orders))
    assert of.take(0.0) is None, "as many as connections"


def test_what_failed_comes_first_again() -> None:
    of = plan(64 * MIB, 3)
    first, _, third = [taken(of) for _ in range(3)]
    of.progress(first.id, 1000, 0.1)
    assert of.failed(first.id, 2000, 0.2) == ()
    assert (of.frontier, of.written) == (2000, 2000)
    again = taken(of)
    assert (again.first, again.end) == (2000, first.end)
    assert of.failed(third.id, third.first, 0.2) == ()
    assert taken(of).first == third.first


def test_orders_get_smaller_towards_the_end() -> None:
    of = plan(256 * MIB, 4)
    sizes = []
    while (order := of.take(0.0)) is not None:
        sizes.append(order.end - order.first)
        of.progress(order.id, order.first + 1, 0.0)
        of.landed(order.id, 0.1)
        of.hashed(of.frontier)
    assert of.is_complete
    assert max(sizes) <= piece_for(256 * MIB, 4)
    assert max(sizes[-4:]) <= 2 * SMALLEST


def test_what_is_there_is_not_fetched() -> None:
    done = Spans([(0, 10 * MIB), (11 * MIB, 20 * MIB)])
    of = plan(21 * MIB, 2, done=done, lead=MIB)
    got = Spans()
    while (order := of.take(0.0)) is not None:
        got.add(order.first, order.end)
        of.landed(order.id, 0.1)
        of.hashed(of.frontier)
    assert list(got) == [(10 * MIB, 11 * MIB), (20 * MIB, 21 * MIB)]
    assert done.total == 19 * MIB, "the caller's own"


def test_d18_d114_of_an_empty_file_there_is_nothing_to_do() -> None:
    of = plan(0)
    assert of.is_complete
    assert of.take(0.0) is None
    assert of.rescue(0.0) is None
    assert of.frontier == 0


def test_the_first_request_is_somebody_elses() -> None:
    of = plan(10 * MIB, 2)
    first = of.begun(0, MIB, 0.0)
    assert taken(of).first == MIB
    assert of.landed(first.id, 1.0) == ()
    assert of.frontier == MIB


def test_d01_one_stream_of_known_length_begins_again_at_0() -> None:
    of = plan(10 * MIB, 1)
    stream = of.begun(0, 10 * MIB, 0.0)
    of.progress(stream.id, 3 * MIB, 1.0)
    assert of.frontier == 3 * MIB
    assert (of.take(1.0), of.rescue(1.0)) == (None, None)
    of.failed(stream.id, 0, 2.0)
    assert (of.frontier, of.written) == (0, 0)
    again = of.begun(0, 10 * MIB, 2.0)
    of.landed(again.id, 5.0)
    assert of.is_complete


@given(st.permutations(range(6)), st.integers(1, 6))
def test_d116_the_frontier_is_what_has_no_gap_before_it(arrivals: list[int], count: int) -> None:
    of = plan(6 * MIB, 6)
    orders = [of.begun(number * MIB, (number + 1) * MIB, 0.0) for number in range(6)]
    there = set(arrivals[:count])
    for number in arrivals[:count]:
        of.landed(orders[number].id, 1.0)
    assert of.frontier == next((number for number in range(6) if number not in there), 6) * MIB


def test_d116_every_order_of_arrival_of_four() -> None:
    for arrivals in permutations(range(4)):
        of = plan(4 * MIB, 4)
        orders = [of.begun(number * MIB, (number + 1) * MIB, 0.0) for number in range(4)]
        seen = []
        for number in arrivals:
            of.landed(orders[number].id, 1.0)
            seen.append(of.frontier)
        assert seen == sorted(seen)
        assert of.is_complete


def test_d121_ten_thousand_pieces() -> None:
    of = plan(10_000 * MIB, 8, piece=MIB)
    count = 0
    while not of.is_complete:
        order = taken(of, count / 100)
        of.landed(order.id, count / 100)
        of.hashed(of.frontier)
        count += 1
    assert count >= 10_000


def test_d122_offsets_beyond_32_bits() -> None:
    size = 2**42 + 1
    of = plan(size, 2, done=Spans([(0, 2**42 - MIB)]))
    while (order := of.take(0.0)) is not None:
        assert order.first >= 2**42 - MIB
        of.landed(order.id, 1.0)
    assert of.is_complete
    assert of.frontier == size


# -- the lead


def test_d120_a_blocked_frontier_stops_the_others_at_the_lead() -> None:
    of = plan(256 * MIB, 4, lead=16 * MIB)
    blocked = taken(of)
    ends = []
    while (order := of.take(0.0)) is not None:
        ends.append(order.end)
        of.landed(order.id, 0.1)
        of.hashed(of.frontier)
    assert max(ends) <= 16 * MIB
    assert of.frontier == 0
    of.landed(blocked.id, 1.0)
    of.hashed(of.frontier)
    assert taken(of).first == max(ends)


def test_d120_a_slow_hash_stops_all_and_nobody_is_robbed_for_it() -> None:
    of = plan(256 * MIB, 2, lead=8 * MIB)
    while (order := of.take(0.0)) is not None:
        of.landed(order.id, 0.1)
    assert of.written <= 8 * MIB + SMALLEST
    assert of.rescue(1.0) is None
    of.hashed(4 * MIB)
    assert of.take(1.0) is not None


def test_d120_what_was_there_before_is_no_part_of_the_lead() -> None:
    """A resumed download does not wait until the hash has read what is old."""
    of = plan(256 * MIB, 2, lead=8 * MIB, done=Spans([(0, 128 * MIB)]))
    assert taken(of).first == 128 * MIB


def test_a_gap_behind_a_full_lead_is_fetched_all_the_same() -> None:
    """Else nothing would ever move again: the hash waits for the gap and the gap for the hash."""
    of = plan(64 * MIB, 2, lead=4 * MIB)
    first = taken(of)
    while (order := of.take(0.0)) is not None:
        of.landed(order.id, 0.1)
    of.failed(first.id, 0, 0.2)
    assert taken(of).first == 0


# -- steals


def test_the_slowest_is_cut_where_both_end_together() -> None:
    of, slow, now = stalled()
    steal = of.rescue(now, lane=0)
    assert isinstance(steal, Steal)
    assert steal.victim == slow.id
    assert slow.first + 4096 < steal.cut < slow.first + 256 * KIB, "nearly all goes to the fast one"
    assert of.rescue(now) is None, "one at a time, until the cut is known"
    assert of.cut_applied(slow.id, steal.cut) == steal.order
    assert of.landed(slow.id, now + 1) == ()
    assert of.landed(steal.order.id, now + 1) == ()
    assert of.is_complete


def test_d74_victim_finishes_before_it_hears_of_the_cut() -> None:
    of, slow, now = stalled()
    steal = of.rescue(now, lane=0)
    assert isinstance(steal, Steal)
    assert of.landed(slow.id, now) == (steal.order.id,)
    assert of.is_complete
    assert of.cut_applied(slow.id, steal.cut) is None
    assert of.active == 0


def test_d74_victim_finishes_at_the_cut() -> None:
    of, slow, now = stalled()
    steal = of.rescue(now, lane=0)
    assert isinstance(steal, Steal)
    thief = of.cut_applied(slow.id, steal.cut)
    assert thief == steal.order
    of.landed(slow.id, now)
    assert of.frontier == steal.cut


def test_d74_victim_has_passed_the_cut() -> None:
    of, slow, now = stalled()
    steal = of.rescue(now, lane=0)
    assert isinstance(steal, Steal)
    thief = of.cut_applied(slow.id, steal.cut + 5000)
    assert thief == Order(steal.order.id, steal.cut + 5000, slow.end)
    assert of.order(slow.id) == Order(slow.id, slow.first, steal.cut + 5000)


def test_d74_a_cut_never_takes_back_what_is_written() -> None:
    of, slow, now = stalled()
    steal = of.rescue(now, lane=0)
    assert isinstance(steal, Steal)
    of.progress(slow.id, steal.cut + 9000, now)
    assert of.cut_applied(slow.id, steal.cut) == Order(steal.order.id, steal.cut + 9000, slow.end)


def test_d74_cut_at_the_last_byte() -> None:
    of, slow, now = stalled()
    steal = of.rescue(now, lane=0)
    assert isinstance(steal, Steal)
    assert of.cut_applied(slow.id, slow.end - 1) == Order(steal.order.id, slow.end - 1, slow.end)
    of, slow, now = stalled()
    of.rescue(now, lane=0)
    assert of.cut_applied(slow.id, slow.end) is None
    assert of.active == 1


def test_d74_thief_fails() -> None:
    of, slow, now = stalled()
    steal = of.rescue(now, lane=0)
    assert isinstance(steal, Steal)
    of.cut_applied(slow.id, steal.cut)
    of.failed(steal.order.id, steal.cut + 100, now)
    again = taken(of, now)
    assert (again.first, again.end > again.first) == (steal.cut + 100, True)


def test_d74_victim_fails_before_the_cut() -> None:
    of, slow, now = stalled()
    steal = of.rescue(now, lane=0)
    assert isinstance(steal, Steal)
    assert of.failed(slow.id, slow.first + 8192, now) == (steal.order.id,)
    assert of.cut_applied(slow.id, steal.cut) is None
    assert taken(of, now).first == slow.first + 8192


def test_d74_double_steal() -> None:
    """The thief is robbed in its turn, and the victim a second time."""
    of = plan(64 * MIB, 4)
    quick = of.begun(0, 16 * MIB, 0.0, lane=0)
    slow = of.begun(16 * MIB, 64 * MIB, 0.0, lane=1)
    of.progress(slow.id, 17 * MIB, 0.5)
    of.progress(quick.id, 1 * MIB, 0.1)
    of.landed(quick.id, 1.0)
    of.progress(slow.id, 18 * MIB, 1.5)
    of.progress(slow.id, 19 * MIB, 2.0)
    owned = [(slow.first, slow.end)]
    for lane in (0, 2, 3):
        steal = of.rescue(2.0, lane)
        assert isinstance(steal, Steal)
        order = of.cut_applied(steal.victim, steal.cut)
        assert order is not None
        owned = [(first, steal.cut if first < steal.cut < end else end) for first, end in owned]
        owned.append((order.first, order.end))
    owned.sort()
    assert (owned[0][0], owned[-1][1]) == (16 * MIB, 64 * MIB)
    assert all(left[1] == right[0] for left, right in pairwise(owned))


def test_nobody_is_robbed_who_is_about_to_end() -> None:
    of = plan(4 * MIB, 2)
    one, other = of.begun(0, 2 * MIB, 0.0), of.begun(2 * MIB, 4 * MIB, 0.0)
    for tick in range(1, 11):
        of.progress(one.id, one.first + tick * 200 * KIB, tick / 10)
        of.progress(other.id, other.first + tick * 200 * KIB, tick / 10)
    of.landed(one.id, 1.02)
    assert of.rescue(1.02) is None


# -- hedges


def hedged() -> tuple[Plan, Order, Hedge, float]:
    of, slow, now = stalled()
    of.progress(slow.id, slow.end - 100 * KIB, 2.9)
    hedge = of.rescue(now + 2, lane=0)
    assert isinstance(hedge, Hedge)
    assert hedge.of == slow.id
    assert (hedge.order.first, hedge.order.end) == (slow.end - 100 * KIB, slow.end)
    return of, slow, hedge, now + 2


def test_a_small_rest_is_raced_and_the_first_wins() -> None:
    of, slow, hedge, now = hedged()
    assert of.rescue(now) is None, "two are enough"
    assert of.landed(slow.id, now) == (hedge.order.id,)
    assert of.is_complete


def test_d75_hedge_writes_only_when_its_rival_was_stopped() -> None:
    """Else the loser could write other bytes over those that were hashed already."""
    of, slow, hedge, now = hedged()
    of.progress(hedge.order.id, hedge.order.end, now)
    assert of.frontier == hedge.order.first, "what is in memory is not on disk"
    of.progress(slow.id, hedge.order.first + 1000, now)
    assert of.rival(hedge.order.id) == slow.id
    assert of.failed(slow.id, hedge.order.first + 2000, now) == ()
    assert of.rival(hedge.order.id) is None
    assert of.order(hedge.order.id) == Order(hedge.order.id, hedge.order.first + 2000, slow.end)
    assert of.take(now) is None, "nobody else may write there"
    assert of.landed(hedge.order.id, now) == ()
    assert of.is_complete


def test_d75_rival_was_done_when_it_was_stopped() -> None:
    of, slow, hedge, now = hedged()
    assert of.failed(slow.id, slow.end, now) == (hedge.order.id,)
    assert of.is_complete
    assert of.active == 0


def test_d75_hedge_fails_and_nothing_happened() -> None:
    of, slow, hedge, now = hedged()
    assert of.failed(hedge.order.id, 0, now) == ()
    of.landed(slow.id, now)
    assert of.is_complete


def test_d72_races_that_fail_are_not_begun_for_ever() -> None:
    """A server that answers each with an error would get one after another, as fast as it can refuse them."""
    of, slow, hedge, now = hedged()
    count = 1
    while isinstance(hedge, Hedge):
        of.failed(hedge.order.id, 0, now)
        again = of.rescue(now, lane=0)
        assert again is None or isinstance(again, Hedge)
        if again is None:
            break
        hedge, count = again, count + 1
    assert count == 3
    of.landed(slow.id, now)
    assert of.is_complete


def test_waiting_for_a_turn_at_the_host_is_no_latency() -> None:
    of = plan(64 * MIB, 2)
    one, other = taken(of), taken(of)
    of.sent(one.id, 5.0)
    of.sent(other.id, 5.0)
    of.sent(99, 5.0)
    of.progress(one.id, 1000, 5.001)
    of.progress(other.id, other.first + 1000, 5.001)
    of.landed(one.id, 5.1)
    assert of.rescue(5.1) is None
    size = taken(of, 5.1)
    assert size.end - size.first <= piece_for(64 * MIB, 2), "no larger than near by"


def test_d75_both_fail_and_the_rest_is_missing() -> None:
    of, slow, hedge, now = hedged()
    assert of.failed(slow.id, hedge.order.first, now) == ()
    assert of.failed(hedge.order.id, 0, now) == ()
    assert (taken(of, now).first, of.active) == (hedge.order.first, 1)


# -- bytes that are not trusted


def test_d07_d33_what_did_not_fit_is_fetched_again() -> None:
    of = plan(8 * MIB, 2)
    one, other = taken(of), taken(of)
    of.landed(one.id, 1.0)
    of.landed(other.id, 1.0)
    assert of.discard(one.first, other.end) == ()
    assert of.frontier == 0
    assert taken(of).first == 0


def test_d75_a_hedge_that_won_and_did_not_fit_is_fetched_again() -> None:
    """The border is seen when its bytes are on disk, and before it is known to have ended."""
    of, slow, hedge, now = hedged()
    assert of.failed(slow.id, hedge.order.first, now) == ()
    assert of.discard(hedge.order.first - 1000, hedge.order.end) == (hedge.order.id,)
    written = of.written
    assert of.landed(hedge.order.id, now) == ()
    assert of.written == written
    assert taken(of, now).first == hedge.order.first - 1000


def test_who_wrote_there_keeps_its_place_until_it_has_stopped() -> None:
    """Two writers at one place are never right, not even for a moment."""
    of = plan(8 * MIB, 2, piece=MIB)
    one, other = taken(of), taken(of)
    of.landed(one.id, 1.0)
    of.progress(other.id, other.first + 1000, 1.0)
    assert of.discard(one.first, other.first + 1) == (other.id,)
    again = taken(of)
    assert (again.first, again.end <= one.end) == (0, True)
    of.progress(other.id, other.end, 1.1)
    assert of.written == 0
    of.failed(other.id, other.end, 1.2)
    of.landed(again.id, 1.3)
    assert taken(of).first == again.end


# -- refusals


def test_d22_a_server_that_refuses_k_connections_is_remembered() -> None:
    of = plan(256 * MIB, 8)
    orders = [taken(of) for _ in range(8)]
    for order in orders[3:]:
        of.refused(order.id, 0.1)
    assert (of.capacity, of.refused_above, of.active) == (3, 3, 3)
    assert of.take(0.2) is None
    of.landed(orders[0].id, 1.0)
    assert taken(of, 1.0).first == orders[3].first


def test_d22_one_connection_always_remains() -> None:
    of = plan(16 * MIB, 4)
    for _ in range(10):
        of.refused(taken(of).id, 0.1)
    assert of.capacity == 1
    assert of.take(0.2) is not None


# -- in simulated time


SLOW = 4.02 * MIB  # a second: 16 MiB over three of these and one at 1/16 take 1.3 s


@pytest.mark.parametrize("slow", range(4))
@pytest.mark.parametrize("has_begun", [True, False])
def test_d73_slow_tail(slow: int, has_begun: bool) -> None:
    """16 MiB, one of four connections at 1/16 speed: ideal 1.3 s, aria2 3.9 s, a single stream 4.0 s."""
    speeds = [SLOW] * 4
    speeds[slow] = SLOW / 16
    world = World(plan(16 * MIB, 4), [*speeds])
    if has_begun:
        world.begin(MIB)
    assert world.run() <= 1.5
    assert world.twice == 0
    assert world.fetched <= 16 * MIB * 1.01


@pytest.mark.parametrize("slow", range(4))
def test_d73_slow_tail_far_away(slow: int) -> None:
    speeds = [SLOW] * 4
    speeds[slow] = SLOW / 16
    assert World(plan(16 * MIB, 4), [*speeds], latency=0.02).run() <= 1.7


def test_eight_connections_of_20_mb_per_second_are_used_to_the_full() -> None:
    """Ideal 12.5 s; aria2 14.1 s."""
    world = World(plan(2 * 10**9, 8), [20e6] * 8, hash_rate=1.6e9)
    world.begin(MIB)
    assert world.run() <= 12.5 / 0.97
    assert world.tail <= 0.05
    assert world.twice == 0


def test_far_away_orders_are_larger() -> None:
    """100 ms to the first byte of each answer: in pieces of 16 MiB a tenth of the time would be lost."""
    world = World(plan(2 * 10**9, 8, lead=1024 * MIB), [20e6] * 8, latency=0.1)
    assert world.run() <= 12.5 / 0.9
    assert world.orders < 80


def test_d120_with_a_slow_hash_the_lead_and_the_tail_stay_bounded() -> None:
    world = World(plan(2 * 10**9, 8, lead=64 * MIB), [300e6] * 8, hash_rate=500e6)
    assert world.run() <= 2e9 / 500e6 + 0.2
    assert world.widest_lead <= 64 * MIB + SMALLEST
    assert world.tail <= 64 * MIB / 500e6 + 0.01


@pytest.mark.parametrize("since", [0.0, 0.3, 2.0])
def test_d46_a_connection_that_stalls_for_ever_costs_little(since: float) -> None:
    world = World(plan(256 * MIB, 4), [lambda now: 20e6 if now < since else 0.0, 20e6, 20e6, 20e6])
    assert world.run() <= (256 * MIB - 20e6 * since) / 60e6 + 0.6
    assert world.twice == 0


def test_connections_of_all_speeds() -> None:
    world = World(plan(512 * MIB, 4), [1e6, 5e6, 20e6, 40e6])
    assert world.run() <= 512 * MIB / 66e6 / 0.95


def test_connections_that_bring_nothing_are_given_up() -> None:
    """A line of 100 MB/s that one connection can fill."""
    world = World(plan(6 * 10**9, 8), [100e6] * 8, link=100e6)
    assert world.run() <= 60 / 0.99
    assert min(world.seen_capacity) == 2


def test_connections_that_help_are_kept() -> None:
    world = World(plan(6 * 10**9, 8), [20e6] * 8)
    assert world.run() <= 6e9 / 160e6 / 0.97
    assert min(world.seen_capacity) >= 7, "one at most is missing, during a trial"


def test_d22_refusals_in_simulated_time() -> None:
    world = World(plan(10**9, 8), [20e6] * 8, most=3)
    assert world.run() <= 10**9 / 60e6 / 0.95
    assert world.refusals <= 3
    assert world.plan.refused_above in (3, 4)


SPEED = st.floats(0.2, 50.0).map(lambda rate: rate * MIB)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(SPEED, min_size=1, max_size=8), st.integers(1, 64 * MIB), st.sampled_from([0.001, 0.01, 0.05]))
def test_any_connections_end_near_the_ideal(speeds: list[float], size: int, latency: float) -> None:
    """Within a fifth of what all of them could do together, plus what beginning and ending cost."""
    world = World(plan(size, len(speeds)), [*speeds], latency=latency)
    ideal = size / sum(speeds)
    assert world.run() <= 1.2 * ideal + 0.8 + 10 * latency
    assert world.twice == 0
    assert world.fetched <= size + 256 * KIB * len(speeds)
