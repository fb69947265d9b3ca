"""The gate of a download: as many at once as are allowed and served, in their order, whoever gives up on the way."""

from __future__ import annotations

import asyncio

import pytest

from crawler.download.gate import HostGate
from crawler.download.plan.refusals import Refusals

URL = "http://example.org/a"
OTHER = "http://example.com/a"

WAIT_SECONDS = 30.0
"""For what is a matter of turns of the loop."""


async def entered(gate: HostGate, count: int, url: str = URL) -> list[asyncio.Task[None]]:
    """Let so many ask, and those in for whom there is room."""
    tasks = [asyncio.create_task(gate.enter(url)) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


def inside(tasks: list[asyncio.Task[None]]) -> list[bool]:
    return [task.done() and not task.cancelled() for task in tasks]


async def test_as_many_as_are_allowed_in_their_order() -> None:
    gate = HostGate(2, Refusals(8))
    tasks = await entered(gate, 4)
    assert inside(tasks) == [True, True, False, False]
    assert inside(await entered(gate, 2, OTHER)) == [True, True], "each host has its own"
    gate.leave(URL)
    await asyncio.wait([tasks[2]], timeout=WAIT_SECONDS)
    assert inside(tasks) == [True, True, True, False]
    for _ in range(3):
        gate.leave(URL)
        await asyncio.sleep(0)
    assert all(inside(tasks))


async def test_d22_no_more_than_the_host_was_seen_to_serve() -> None:
    """Whatever file they are of: what one file was refused, the others need not find out."""
    refusals = Refusals(8)
    gate = HostGate(8, refusals)
    refusals.refused("example.org", 2, asyncio.get_running_loop().time())
    assert inside(await entered(gate, 4)) == [True, True, False, False]
    assert all(inside(await entered(gate, 4, OTHER)))


async def test_d22_who_is_inside_stays_and_leaves_first() -> None:
    refusals = Refusals(8)
    gate = HostGate(8, refusals)
    tasks = await entered(gate, 4)
    refusals.refused("example.org", 2, asyncio.get_running_loop().time())
    tasks += await entered(gate, 1)
    for _ in range(2):
        gate.leave(URL)
        await asyncio.sleep(0)
    assert not inside(tasks)[4]
    gate.leave(URL)
    await asyncio.wait([tasks[4]], timeout=WAIT_SECONDS)
    assert inside(tasks)[4]


@pytest.mark.parametrize("is_let_in", [False, True])
async def test_who_is_cancelled_leaves_no_slot_taken(is_let_in: bool) -> None:
    gate = HostGate(1, Refusals(8))
    tasks = await entered(gate, 3)
    if is_let_in:
        gate.leave(URL)  # its turn has come, and it does not know yet
    tasks[1].cancel()
    await asyncio.wait([tasks[1]], timeout=WAIT_SECONDS)
    assert tasks[1].cancelled()
    if not is_let_in:
        gate.leave(URL)
    await asyncio.wait([tasks[2]], timeout=WAIT_SECONDS)
    assert inside(tasks) == [True, False, True]
    gate.leave(URL)
    assert all(inside(await entered(gate, 1)))
    assert not inside(await entered(gate, 1))[0]


async def test_a_pause_holds_for_those_who_come() -> None:
    gate = HostGate(2, Refusals(8))
    await gate.enter(URL)
    gate.slow_down(URL, 0.05)
    began = asyncio.get_running_loop().time()
    await gate.enter(URL)
    assert asyncio.get_running_loop().time() - began >= 0.05


async def test_d67_a_host_that_wants_a_pause_has_it_though_nobody_is_inside() -> None:
    """Whom it refused has left by then; the next to come is another file."""
    gate = HostGate(8, Refusals(8), retry_after_max=60.0)
    (task,) = await entered(gate, 1)
    await task
    gate.leave(URL)
    gate.slow_down(URL, 5.0)
    tasks = await entered(gate, 2) + await entered(gate, 1, OTHER)
    assert inside(tasks) == [False, False, True]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_pause_that_is_over_is_forgotten_and_none_is_longer_than_allowed() -> None:
    gate = HostGate(8, Refusals(8), retry_after_max=0.01)
    gate.slow_down(URL, 86_400.0)
    (task,) = await entered(gate, 1)
    await asyncio.wait_for(task, 5)
    gate.leave(URL)
    for number in range(100):
        gate.slow_down(f"http://{number}.example/", 86_400.0)
    await asyncio.sleep(0.02)
    gate.slow_down(URL, 1.0)
    assert len(gate._hosts) == 1
