"""A host that does not answer never keeps all slots of a crawl, and one that answers gets all it can use."""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.frontier.frontier import Frontier
from crawler.frontier.host import Row
from crawler.frontier.politeness import HostClock, Politeness, Verdict
from crawler.frontier.request import Kind, Request
from crawler.frontier.robots import answer
from crawler.frontier.steps import NeedRobots
from pipelines.url import CanonicalUrl

SECONDS = 0.1  # for an answer, or a little more: answers of one instant are the exception
TIMEOUT = 30.0


def name_of(host: int) -> str:
    return f"h{host}.test"


def row(host: int, number: int) -> Row:
    return [host, 0, host * 1000 + number, f"http://{name_of(host)}/{number}", 0, None, 0, None, name_of(host)]


class Web:
    """A crawl in simulated time, of hosts that answer at once until they die and of one with a chain of pages."""

    def __init__(self, slots: int, per_host: int, *, robots: bool = False) -> None:
        self.slots = slots
        polite = Politeness(per_host=per_host)
        self.frontier = Frontier(lambda: HostClock(polite), use_robots=robots, slots=slots)
        self.now = 0.0
        self.deaths: dict[str, float] = {}  # host, and since when only robots.txt is answered
        self.chains: dict[str, int] = {}  # host whose pages are each found on the one before, and how many are left
        self.under_way: list[tuple[float, int, Request]] = []
        self.count = 0
        self.ended: dict[str, list[float]] = {}

    def add(self, host: int, pages: int, *, dies: float = inf, chain: bool = False) -> None:
        """Make a host known with all its pages, or with the first of a chain."""
        self.deaths[name_of(host)] = dies
        self.ended[name_of(host)] = []
        if chain:
            self.chains[name_of(host)] = pages - 1
        self.frontier.add([row(host, number) for number in range(1 if chain else pages)], self.now)

    def at(self, host: int) -> int:
        """Return how many slots a host has."""
        return sum(request.host == name_of(host) for _, _, request in self.under_way)

    def fill(self) -> None:
        """Start whatever may be started now."""
        while len(self.under_way) < self.slots:
            match self.frontier.next(self.now):
                case Request() as request:
                    self.count += 1
                    end = self.now + SECONDS + self.count % 7 / 1000
                    if request.kind is Kind.PAGE and end > self.deaths[request.host]:
                        end = self.now + TIMEOUT
                    heappush(self.under_way, (end, self.count, request))
                case NeedRobots(origin, _):
                    url, host = CanonicalUrl(origin + "/robots.txt"), origin.removeprefix("http://")
                    self.frontier.want_robots(Request(0, url, host, kind=Kind.ROBOTS, origin=origin), self.now)
                case _:
                    return

    def end_one(self) -> None:
        """Let time pass until a request ends."""
        self.now, _, request = heappop(self.under_way)
        is_dead = request.kind is Kind.PAGE and self.now > self.deaths[request.host]
        self.frontier.fetched(request, self.now, Verdict.FAILED if is_dead else Verdict.ALIVE)
        if request.kind is Kind.ROBOTS:
            rules = answer(404, b"", agent="crawlmill", now=0.0)
            self.frontier.robots(request.origin, rules, expires_at=inf, crawl_delay=0.0)
            return
        self.fill()  # while the workers have the page
        self.frontier.settled(request)
        self.ended[request.host].append(self.now)
        if self.chains.get(request.host):
            self.chains[request.host] -= 1
            self.frontier.add([row(request.id // 1000, request.id % 1000 + 1)], self.now)

    def run(self, until: float = inf) -> None:
        """Crawl until nothing is under way or the time has come."""
        self.fill()
        while self.under_way and self.under_way[0][0] <= until:
            self.end_one()
            self.fill()


slots_of = st.integers(2, 64)


@settings(deadline=None)
@given(slots_of, st.integers(1, 64), st.integers(1, 4), st.permutations(range(5)), st.booleans())
def test_dead_hosts_hold_up_nobody(slots: int, per_host: int, dead: int, order: list[int], robots: bool) -> None:
    """Any one of them, and as many as two slots for each leave room for; whoever comes first."""
    dead = dead if 2 * dead + slots // 4 < slots else 1
    web = Web(slots, per_host, robots=robots)
    for host in order:
        if host == 0:
            web.add(0, 20, chain=True)
        elif host <= dead:
            web.add(host, 100, dies=0.0)
    web.run(until=TIMEOUT / 2)
    assert len(web.ended[name_of(0)]) == 20
    assert web.ended[name_of(0)][-1] < 21 * 1.1 * SECONDS


@settings(deadline=None, max_examples=50)
@given(slots_of, st.integers(1, 64), st.floats(0.3, 1.0))
def test_a_host_that_dies_with_everything_under_way_holds_up_nobody(slots: int, per_host: int, dies: float) -> None:
    web = Web(slots, per_host)
    web.add(1, 900, dies=dies)
    web.add(0, 40, chain=True)
    web.run(until=TIMEOUT / 2)
    assert len(web.ended[name_of(0)]) == 40
    assert web.ended[name_of(0)][-1] < 41 * 1.1 * SECONDS


@given(slots_of, st.booleans())
def test_a_host_alone_gets_every_slot_at_once(slots: int, robots: bool) -> None:
    web = Web(slots, per_host=slots, robots=robots)
    web.add(1, 200)
    web.fill()
    if robots:
        web.end_one()
        web.fill()
    assert web.at(1) == slots


@settings(deadline=None, max_examples=50)
@given(st.integers(8, 64), st.integers(2, 6))
def test_hosts_that_answer_use_every_slot(slots: int, hosts: int) -> None:
    web = Web(slots, per_host=slots)
    for host in range(1, hosts + 1):
        web.add(host, 500)
    web.run(until=1.0)
    assert len(web.under_way) == slots


@settings(deadline=None, max_examples=50)
@given(st.integers(8, 64))
def test_a_host_gets_every_slot_again_when_the_others_are_done(slots: int) -> None:
    web = Web(slots, per_host=slots)
    web.add(1, 900)
    web.add(2, 1)
    web.run(until=1.0)
    assert web.at(1) == slots


def test_a_host_in_trouble_is_given_two_until_it_answers() -> None:
    """What it may have beyond is for hosts that nothing is known against."""
    web = Web(slots=64, per_host=64)
    web.add(0, 900, chain=True)
    web.add(1, 400, dies=0.0)
    web.run(until=0.5)
    assert web.at(1) == 2 + 64 // 4
    web.run(until=TIMEOUT + 20.0)
    assert web.at(1) == 2


def test_hosts_that_were_forgotten_are_not_kept_in_mind() -> None:
    frontier = Frontier(lambda: HostClock(Politeness()), use_robots=False, max_hosts=10, slots=64)
    for host in range(1, 100):
        frontier.add([row(host, 0)], 0.0)
        request = frontier.next(0.0)
        assert isinstance(request, Request)
        frontier.fetched(request, 0.0, Verdict.ALIVE)
        frontier.settled(request)
    assert len(frontier._shares._at_work) <= 10
