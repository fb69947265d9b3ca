"""The gate of downloads is the frontier's: nobody gets in without a turn, and no place is lost."""

from __future__ import annotations

import asyncio

import pytest

from crawler.engine.clock import Clock
from crawler.engine.gate import FrontierGate
from crawler.frontier.frontier import Frontier
from crawler.frontier.politeness import HostClock, Politeness
from crawler.frontier.steps import NeedRobots, Slot, Wait

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
    """At once, without the scheduler, which may wait for a page to end."""
    hosts = Hosts(per_host=2)
    tasks = [asyncio.create_task(hosts.gate.enter(URL)) for _ in range(3)]
    await turn()
    assert [task.done() for task in tasks] == [True, True, False]
    assert not hosts.grant()
    assert hosts.wakes == 3, "the scheduler hears of each"
    hosts.gate.leave(URL)
    await asyncio.wait_for(tasks[2], 1)


async def test_a_page_that_waits_has_its_turn_between_two_downloads() -> None:
    hosts = Hosts(per_host=3)
    hosts.frontier.add([[1, 0, 1, "http://a.test/", 0, None, 0, None, "a.test"]], 0.0)
    tasks = [asyncio.create_task(hosts.gate.enter(URL)) for _ in range(2)]
    await turn()
    assert [task.done() for task in tasks] == [True, False]
    step = hosts.frontier.next(0.0)
    assert isinstance(step, NeedRobots), "the page is looked at"
    assert hosts.grant()
    await asyncio.wait_for(tasks[1], 1)


@pytest.mark.parametrize("when", ["waiting", "granted", "at once"])
async def test_who_is_cancelled_takes_no_place_along(when: str) -> None:
    """Also in the very turn in which the place was given, before or after the cancellation."""
    hosts = Hosts(per_host=1)
    await hosts.gate.enter(URL)
    task = asyncio.create_task(hosts.gate.enter(URL))
    await turn()
    if when == "granted":
        hosts.gate.leave(URL)
    task.cancel()
    if when == "at once":
        hosts.gate.leave(URL)
    with pytest.raises(asyncio.CancelledError):
        await task
    if when == "waiting":
        assert isinstance(hosts.frontier.next(hosts.now), Wait)
        hosts.gate.leave(URL)
    await asyncio.wait_for(hosts.gate.enter(URL), 1)
    assert not hosts.grant()


async def test_a_pause_that_a_server_asks_for_is_kept_up_to_the_longest_allowed() -> None:
    hosts = Hosts(per_host=2)
    await asyncio.wait_for(hosts.gate.enter(URL), 1)
    hosts.gate.slow_down(URL, 3600.0)
    hosts.gate.leave(URL)
    later = asyncio.create_task(hosts.gate.enter(URL))
    await turn()
    assert hosts.frontier.next(0.0) == Wait(60.0)
    hosts.now = 60.0
    assert hosts.grant()
    await asyncio.wait_for(later, 1)
