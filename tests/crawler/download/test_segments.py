"""What the lanes of one file ask of each other."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from crawler.download.plan.plan import Order, Plan, Steal
from crawler.download.retry import Source
from crawler.download.segments import Segments
from crawler.download.worker.wire import Cut, WasCut

VICTIM, REQUEST = 1, 77


async def test_an_order_that_is_cut_twice_answers_both_lanes() -> None:
    """The second lane asks in the instant between the first answer and the moment the first lane hears of it."""
    sent: list[Cut] = []
    plan = cast("Plan", SimpleNamespace(cut_applied=lambda victim, end: None))
    segments = Segments(cast("Any", None), plan, ())
    segments._running[VICTIM] = cast("Any", SimpleNamespace(id=REQUEST, send=sent.append))
    source = Source("http://a/")
    first = asyncio.create_task(segments._steal(Steal(VICTIM, 20, Order(2, 20, 30))))
    await asyncio.sleep(0)
    second = asyncio.create_task(segments._steal(Steal(VICTIM, 10, Order(3, 10, 20))))
    segments._heard(VICTIM, source, WasCut(REQUEST, 20))
    await first
    segments._heard(VICTIM, source, WasCut(REQUEST, 10))
    await asyncio.wait_for(second, 1)
    assert [cut.end for cut in sent] == [20, 10]
    assert segments._cuts == {}
