"""The lag meter says how long the loop was kept: the promise that it stays free rests on its word."""

from __future__ import annotations

import asyncio
import time

from crawler.engine.lag import INTERVAL, LagMeter


async def test_it_tells_how_long_the_loop_was_kept() -> None:
    meter = LagMeter(asyncio.get_running_loop())
    meter.start()
    await asyncio.sleep(10 * INTERVAL)
    time.sleep(0.06 + INTERVAL)  # noqa: ASYNC251  # this is the offence
    await asyncio.sleep(2 * INTERVAL)
    meter.stop()
    assert meter.samples >= 3
    assert 0.06 <= meter.max_seconds < 5
    assert meter.quantile(1.0) == meter.max_seconds
    assert meter.quantile(0.0) <= meter.quantile(0.5) <= meter.quantile(1.0)


async def test_a_loop_that_is_free_lags_little() -> None:
    meter = LagMeter(asyncio.get_running_loop())
    meter.start()
    await asyncio.sleep(20 * INTERVAL)
    meter.stop()
    assert meter.quantile(0.5) < 3 * INTERVAL, "being called in time is no lag"
    seen = meter.samples
    await asyncio.sleep(3 * INTERVAL)
    assert meter.samples == seen > 0, "it ends when it is told to"
