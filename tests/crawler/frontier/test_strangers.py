"""A host met as the target of a robots.txt redirect stays one host with one clock when its own URLs turn up."""

from __future__ import annotations

from crawler.frontier.frontier import Frontier
from crawler.frontier.host import Row
from crawler.frontier.politeness import HostClock, Politeness, Verdict
from crawler.frontier.request import Kind, Request
from crawler.frontier.steps import MoreHosts, NeedRobots, Refill, Wait
from pipelines.url import CanonicalUrl


def robots_request(origin: str, host: str) -> Request:
    return Request(0, CanonicalUrl(f"http://{host}/robots.txt"), host, kind=Kind.ROBOTS, origin=origin)


def row(host: int, name: str) -> Row:
    return [host, 0, host, f"http://{name}/", 0, None, 0, None, name]


def test_urls_that_come_from_disk_join_the_clock_that_is_running() -> None:
    frontier = Frontier(lambda: HostClock(Politeness(per_host=1, delay=5.0)), pending=2)
    assert frontier.next(0.0) == MoreHosts(0, 512)
    frontier.more_hosts(0, [1, 2], 512, 0.0)
    refills = [frontier.next(0.0), frontier.next(0.0)]
    assert [step.host for step in refills if isinstance(step, Refill)] == [1, 2]
    frontier.refilled(1, [row(1, "a.test")], 100)
    assert frontier.next(0.0) == NeedRobots("http://a.test", 1)
    hop = robots_request("http://a.test", "b.test")
    frontier.want_robots(hop, 0.0)
    assert frontier.next(0.0) == hop
    frontier.refilled(2, [row(2, "b.test")], 100)
    assert isinstance(frontier.next(1.0), Wait), "one at a time on b.test, and it is being asked"
    frontier.fetched(hop, 2.0, Verdict.ALIVE)
    assert frontier.next(2.0) == Wait(5.0), "the delay runs from the request for robots.txt"
    assert frontier.next(5.0) == NeedRobots("http://b.test", 2)


def test_a_stranger_does_not_take_the_place_of_another() -> None:
    frontier = Frontier(lambda: HostClock(Politeness(per_host=1)))
    frontier.add([row(1, "a.test")], 0.0)
    assert frontier.next(0.0) == NeedRobots("http://a.test", 1)
    gone, first, second = (robots_request("http://a.test", f"{name}.test") for name in "xyz")
    frontier.want_robots(gone, 0.0)
    assert frontier.next(0.0) == gone
    frontier.want_robots(first, 0.0)
    frontier.fetched(gone, 1.0, Verdict.ALIVE)
    assert frontier._evict(1.0)
    frontier.want_robots(second, 1.0)
    assert {frontier.next(1.0), frontier.next(1.0)} == {first, second}
    for hop in (first, second):
        frontier.fetched(hop, 2.0, Verdict.ALIVE)
    assert len(frontier._hosts) == len(frontier._by_name) == 3
