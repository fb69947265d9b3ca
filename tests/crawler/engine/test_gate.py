"""The gate of downloads is the frontier's: nobody gets in without a turn, and no place is lost."""

from __future__ import annotations

import asyncio

import pytest

from crawler.engine.clock import Clock
from crawler.engine.gate import FrontierGate
from crawler.frontier.frontier import Frontier
from crawler.frontier.politeness import HostClock, Politeness
from crawler.frontier.steps import Slot, Wait

URL = "http://a.test/x.zip"


class Hosts:
    """A frontier with a clock that stands where it is put."""

    def __init__(self, per_host: int) -> None:
        self.now = 0.0
        self.wakes = 0
        self.frontier = Frontier(lambda: HostClock(Politeness(per_host=per_host)))
        self.frontier.pending = 1
        self.gate = FrontierGate(self.frontier, Clock(lambda: self.now), self._wake, retry_after_max=60.0)

    def _wake(self) -> None:
        self.wakes += 1

    def grant(self) -> bool:
        """Do what the scheduler does; tell whether somebody got in."""
        step = self.frontier.next(self.now)
        if isinstance(step, Slot):
            self.gate.granted(step)
        return isinstance(step, Slot)


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_as_many_get_in_as_the_host_is_granted() -> None:
    hosts = Hosts(per_host=2)
    tasks = [asyncio.create_task(hosts.gate.enter(URL)) for _ in range(3)]
    await turn()
    assert hosts.wakes == 3, "the scheduler hears of each"
    assert [hosts.grant() for _ in range(3)] == [True, True, False]
    await turn()
    assert [task.done() for task in tasks] == [True, True, False]
    hosts.gate.leave(URL)
    assert hosts.grant()
    await asyncio.wait_for(tasks[2], 1)


@pytest.mark.parametrize("is_granted", [False, True])
async def test_who_is_cancelled_takes_no_place_along(is_granted: bool) -> None:
    """Also in the very turn in which the place was given."""
    hosts = Hosts(per_host=1)
    task = asyncio.create_task(hosts.gate.enter(URL))
    await turn()
    if is_granted:
        assert hosts.grant()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    other = asyncio.create_task(hosts.gate.enter(URL))
    await turn()
    assert hosts.grant()
    await asyncio.wait_for(other, 1)
    hosts.gate.leave(URL)


async def test_a_place_given_to_somebody_who_is_being_cancelled_comes_back() -> None:
    hosts = Hosts(per_host=1)
    task = asyncio.create_task(hosts.gate.enter(URL))
    await turn()
    task.cancel()
    assert hosts.grant(), "the frontier does not know yet"
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance(hosts.frontier.next(hosts.now), Wait)
    other = asyncio.create_task(hosts.gate.enter(URL))
    await turn()
    assert hosts.grant()
    await asyncio.wait_for(other, 1)


async def test_a_pause_that_a_server_asks_for_is_kept_up_to_the_longest_allowed() -> None:
    hosts = Hosts(per_host=2)
    task = asyncio.create_task(hosts.gate.enter(URL))
    await turn()
    assert hosts.grant()
    await task
    hosts.gate.slow_down(URL, 3600.0)
    hosts.gate.leave(URL)
    later = asyncio.create_task(hosts.gate.enter(URL))
    await turn()
    assert hosts.frontier.next(0.0) == Wait(60.0)
    hosts.now = 60.0
    assert hosts.grant()
    await asyncio.wait_for(later, 1)
