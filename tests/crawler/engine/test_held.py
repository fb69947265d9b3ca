"""What pages under way hold is counted from the body to the commit, and everything is given back."""

from __future__ import annotations

import asyncio

from crawler.engine.held import PAGE_OVERHEAD, RESULTS_SHARE, Held
from pipelines.page import Processed


def a_result(line: int, links: int = 0, body: bytes | None = None) -> Processed:
    return Processed(1, b"x" * line, 0, b"y" * links, b"", body=body)


async def test_a_page_counts_as_body_then_result_then_line() -> None:
    held = Held(1_000_000)
    await held.admit(1, 500)
    assert held.bytes == 500 + PAGE_OVERHEAD
    result = a_result(2000, 700)
    held.finished(1, result)
    assert held.bytes == 2700 + PAGE_OVERHEAD
    held.applied(1, result)
    assert held.bytes == 2000
    held.gone([1, 2])
    assert held.bytes == 0


async def test_a_stored_body_counts_until_its_page_is_applied() -> None:
    held = Held(1_000_000)
    await held.admit(1, 10)
    result = a_result(100, body=b"z" * 5000)
    held.finished(1, result)
    assert held.bytes == 5100 + PAGE_OVERHEAD
    held.applied(1, result._replace(body=None))
    assert held.bytes == 100


async def test_a_body_waits_until_others_are_gone() -> None:
    held = Held(2 * PAGE_OVERHEAD + 100)
    await held.admit(1, 50)
    waiting = asyncio.ensure_future(held.admit(2, PAGE_OVERHEAD))
    await asyncio.sleep(0)
    assert not waiting.done()
    held.gone([1])
    await asyncio.wait_for(waiting, 1)
    assert held.bytes == 2 * PAGE_OVERHEAD


async def test_results_have_a_share_of_their_own() -> None:
    held = Held(RESULTS_SHARE * 1000)
    await held.admit(1, 0)
    large = a_result(900, 100)
    assert held.wants_results()
    held.finished(1, large)
    assert not held.wants_results()
    held.applied(1, large)
    assert held.wants_results()
