"""What the lanes of one file ask of each other."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from crawler.download.fault import Fault
from crawler.download.plan.plan import Order, Plan, Steal
from crawler.download.plan.spans import Spans
from crawler.download.retry import Source
from crawler.download.segments import Segments
from crawler.download.worker.wire import END_UNKNOWN, Cut, Ended, Landed, WasCut

VICTIM, REQUEST = 1, 77
MIB = 1 << 20


async def test_an_order_that_is_cut_twice_answers_both_lanes() -> None:
    """The second lane asks in the instant between the first answer and the moment the first lane hears of it."""
    sent: list[Cut] = []
    plan = cast("Plan", SimpleNamespace(cut_applied=lambda victim, end: None))
    segments = Segments(cast("Any", None), plan, ())
    segments._running[VICTIM] = cast("Any", SimpleNamespace(id=REQUEST, send=sent.append))
    source = Source("http://a/")
    first = asyncio.create_task(segments._steal(Steal(VICTIM, 20, Order(2, 20, 30)), 1))
    await asyncio.sleep(0)
    second = asyncio.create_task(segments._steal(Steal(VICTIM, 10, Order(3, 10, 20)), 2))
    segments._heard(VICTIM, source, WasCut(REQUEST, 20))
    await first
    segments._heard(VICTIM, source, WasCut(REQUEST, 10))
    await asyncio.wait_for(second, 1)
    assert [cut.end for cut in sent] == [20, 10]
    assert segments._cuts == {}


async def test_a_wrong_border_tells_the_hash_at_once_how_far_it_may_believe() -> None:
    """Not only with the next report, which may be that all is there anew: the hash would never begin again."""
    frontiers: list[int] = []
    books = SimpleNamespace(advance=frontiers.append, landed=lambda piece: None, dropped=lambda first, end: None)
    plan = Plan(3 * MIB, Spans(), 1, MIB, 3 * MIB)
    segments = Segments(cast("Any", books), plan, ())
    left, right = plan.begun(0, MIB, 0.0), plan.begun(MIB, 2 * MIB, 0.0)
    segments._landed(left.id, Landed(REQUEST, 0, MIB, 0, None, 11))
    plan.landed(left.id, 1.0)
    assert (plan.frontier, frontiers) == (MIB, [])
    segments._landed(right.id, Landed(REQUEST, MIB, 2 * MIB, 0, 22, 33))
    assert (plan.frontier, frontiers) == (0, [0])


async def test_a_hedge_that_differs_from_a_mirror_costs_the_bytes_of_the_mirror() -> None:
    """And no patience with the place that raced it, nor the file."""
    dropped: list[tuple[int, int]] = []
    books = SimpleNamespace(
        retries=0, advance=lambda upto: None, dropped=lambda first, end: dropped.append((first, end))
    )
    plan = Plan(3 * MIB, Spans(), 1, MIB, 3 * MIB)
    order = plan.begun(0, MIB, 0.0)
    plan.landed(order.id, 1.0)
    home, mirror = Source("http://a/"), Source("http://b/")
    spreading = SimpleNamespace(
        blamed=lambda parties: [each for each in parties if each is mirror],
        rejected=lambda wrong: [(0, MIB)] if wrong else [],
        dropped=lambda first, end: None,
    )
    segments = Segments(cast("Any", books), plan, (), cast("Any", spreading))
    ended = Ended(REQUEST, Fault.SEAM_MISMATCH, "", 206, None, "", END_UNKNOWN, 0, {})
    segments._raced[7] = home
    assert not segments._differs(Order(7, MIB, 2 * MIB), ended, home)
    segments._raced[8] = mirror
    assert segments._differs(Order(8, MIB, 2 * MIB), ended, home)
    assert (dropped, plan.frontier, books.retries) == ([(0, MIB)], 0, 1)


async def test_only_orders_at_the_same_host_are_others_beside_a_refused_one() -> None:
    """Where there are several places; a place that refuses even the only one is failing, whatever runs elsewhere."""
    for spreading, expected in (None, 2), (cast("Any", object()), 1):
        segments = Segments(cast("Any", None), cast("Any", None), (), spreading)
        for number, url in enumerate(("http://a/x", "http://b/x")):
            segments._running[number] = cast("Any", SimpleNamespace(url=url))
        assert segments._others("http://a/y") == expected
