"""The rule for backends that is about many calls: however many there are, memory is what the caller gave for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from pipelines.backends.backend import Backend
from pipelines.stream import stream
from pipelines.testing import tasks
from pipelines.testing.memory import forget_peak, peak_bytes
from pipelines.testing.rules import Rule, answer, expect, rule

ITEMS = 100_000
ITEM_BYTES = 100
RESULT_BYTES = 10 * ITEM_BYTES
BUDGET_BYTES = 4 * tasks.MEBIBYTE
GROWTH_BYTES = 32 * tasks.MEBIBYTE
"""The budget, a trip to each worker and back, and what the allocator keeps; all results are 95 MiB."""
SECONDS_A_MILLION = 120.0
"""Ten times what any of ours takes: a rule that ends, not a measurement."""


@rule("forget each call and its answer once its future is settled; keep no list of futures")
def budget(backend: Backend) -> None:
    """Any number of items pass through a fixed number of bytes."""
    answer(backend.submit(tasks.tenfold, b""))
    with ThreadPoolExecutor(1) as apart:  # the caller may have a running loop
        forget_peak()
        before, started = peak_bytes(), time.monotonic()
        count, total = apart.submit(asyncio.run, _pass_through(backend)).result()
        grown, seconds = peak_bytes() - before, time.monotonic() - started
    expect((count, total) == (ITEMS, ITEMS * RESULT_BYTES), f"of {ITEMS} results {count} came, with {total} bytes")
    case = f"{ITEMS} items of {ITEM_BYTES} bytes, results of {RESULT_BYTES}, max_bytes={BUDGET_BYTES >> 20} MiB"
    expect(grown < GROWTH_BYTES, f"{case}: the caller grew by {grown >> 20} MiB")
    expect(seconds < SECONDS_A_MILLION * max(1, ITEMS / 1_000_000), f"{case}: they took {seconds:.0f} s")


def _items() -> Iterator[bytes]:
    return (b"%0*d" % (ITEM_BYTES, number) for number in range(ITEMS))


async def _pass_through(backend: Backend) -> tuple[int, int]:
    count = total = 0
    async for value in stream(tasks.tenfold, _items(), pool=backend, max_bytes=BUDGET_BYTES, max_items=ITEMS):
        count, total = count + 1, total + len(value)
    return count, total


RULES: tuple[Rule, ...] = (budget,)
