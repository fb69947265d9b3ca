"""The frontier, driven through whole crawls in simulated time against a store that is a list."""

from __future__ import annotations

import random
from heapq import heappop, heappush
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.frontier import frontier as room
from crawler.frontier.frontier import Frontier
from crawler.frontier.politeness import HostClock, Politeness, Verdict
from crawler.frontier.reasons import Reason
from crawler.frontier.request import Kind, Request
from crawler.frontier.robots import RobotsRules, answer
from crawler.frontier.steps import Denied, Done, MoreHosts, NeedRobots, Refill, Wait
from pipelines.url import CanonicalUrl

AGENT = "crawlmill"


def rules(body: bytes = b"") -> RobotsRules:
    return answer(200, body, agent=AGENT, now=0.0)


class World:
    """A store and a network without either: answers every step of the frontier after a random time."""

    def __init__(self, seed: int, polite: Politeness, *, max_hosts: int = 4096, window: int = 32_768) -> None:
        self.random = random.Random(seed)
        self.polite = polite
        self.now = 0.0
        self.rows: list[list[Any]] = []  # every URL ever found, in order of discovery
        self.pending: set[int] = set()
        self.events: list[tuple[float, int, Any]] = []
        self.count = 0
        self.last_answer = 0.0
        self.fetched: list[tuple[float, str, int, int]] = []  # when, host, priority, id
        self.denied: list[tuple[int, Reason]] = []
        self.robots_asked: list[str] = []
        self.robots_body = b""
        self.active: dict[str, int] = {}
        self.starts: dict[str, list[float]] = {}
        self.frontier = Frontier(lambda: HostClock(polite), max_hosts=max_hosts, window=window)
        self.children: dict[int, list[tuple[str, int]]] = {}
        self.fail_once: set[int] = set()

    def find(self, urls: list[tuple[int, int]]) -> None:
        """URLs (host number, priority) become known: first to the store, a moment later to the frontier."""
        new = []
        for host, priority in urls:
            url_id = len(self.rows) + 1
            name = f"h{host}.test"
            row = [host, priority, url_id, f"http://{name}/{url_id}", 0, None, 0, None, name]
            self.rows.append(row)
            self.pending.add(url_id)
            new.append(list(row))
        self.answer(lambda: self.frontier.add(new, self.now))

    def later(self, action: Any, delay: float | None = None) -> None:
        self.count += 1
        wait = self.random.uniform(0.001, 0.3) if delay is None else delay
        heappush(self.events, (self.now + wait, self.count, action))

    def answer(self, action: Any) -> None:
        """The store has one thread: what it says arrives late, but in the order in which it came to know it."""
        self.last_answer = max(self.last_answer, self.now + self.random.choice([0.0, self.random.uniform(0.0, 0.1)]))
        self.later(action, self.last_answer - self.now)

    def run(self, grow: Any = None, limit: int = 200_000) -> None:
        """Take steps until nothing is pending."""
        for _ in range(limit):
            while self.events and self.events[0][0] <= self.now:
                heappop(self.events)[2]()
            match self.frontier.next(self.now):
                case Request() as request:
                    self.start(request, grow)
                case Refill(host, priority, after, count):
                    found = sorted(r for r in self.rows if r[0] == host and r[2] in self.pending)
                    rows = [list(r) for r in found if (r[1], r[2]) > (priority, after)][:count]
                    self.answer(lambda h=host, r=rows, c=count: self.frontier.refilled(h, r, c))
                case MoreHosts(after, count):
                    ids = sorted({r[0] for r in self.rows if r[2] in self.pending and r[0] > after})[:count]
                    self.answer(lambda a=after, i=ids, c=count: self.frontier.more_hosts(a, i, c, self.now))
                case NeedRobots(origin, _):
                    url = CanonicalUrl(origin + "/robots.txt")
                    name = origin.removeprefix("http://")
                    request = Request(id=0, url=url, host=name, kind=Kind.ROBOTS, origin=origin)
                    self.later(lambda r=request: self.frontier.want_robots(r, self.now))
                case Denied(request, reason):
                    self.denied.append((request.id, reason))
                    self.end(request)
                case Wait(until):
                    times = [t for t in (until, self.events[0][0] if self.events else None) if t is not None]
                    assert times, "waits for nothing"
                    self.now = max(self.now, min(times))
                case Done():
                    if not self.events:
                        return
                    self.now = max(self.now, self.events[0][0])
        raise AssertionError("the crawl does not end")

    def start(self, request: Request, grow: Any) -> None:
        host = request.host
        self.active[host] = self.active.get(host, 0) + 1
        assert self.active[host] <= self.polite.per_host, "more at once than the host is granted"
        previous = self.starts.setdefault(host, [])
        assert not previous or self.now - previous[-1] >= self.polite.delay - 1e-9, "sooner than the delay"
        previous.append(self.now)

        def ended() -> None:
            self.active[host] -= 1
            self.frontier.fetched(request, self.now, Verdict.ALIVE)
            if request.kind is Kind.ROBOTS:
                self.robots_asked.append(request.origin)
                self.frontier.robots(request.origin, rules(self.robots_body), expires_at=inf, crawl_delay=0.0)
            elif request.id in self.fail_once:
                self.fail_once.remove(request.id)
                self.frontier.retry(request, self.now + 0.5)
            else:
                self.fetched.append((self.now, host, request.priority, request.id))
                if grow is not None:
                    self.find(grow(request))
                self.later(lambda: self.end(request))  # the workers take their time

        self.later(ended)

    def end(self, request: Request) -> None:
        self.pending.remove(request.id)
        self.answer(lambda: self.frontier.settled(request))


def ids(world: World) -> list[int]:
    return sorted(row[3] for row in world.fetched)


@pytest.fixture
def tiny_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few URLs in memory that nearly all of a crawl happens by refills."""
    monkeypatch.setattr(room, "SMALLEST_WINDOW", 2)
    monkeypatch.setattr(room, "LARGEST_WINDOW", 3)


@pytest.mark.parametrize("seed", range(60))
def test_fetches_every_url_once_when_almost_nothing_fits_into_memory(seed: int, tiny_windows: None) -> None:
    """The window is a cache of the store: however small, no URL is lost in it and none comes out twice."""
    chance = random.Random(seed)
    polite = Politeness(per_host=chance.randint(1, 3), delay=chance.choice([0.0, 0.05]))
    world = World(seed, polite, max_hosts=chance.choice([2, 3, 100]), window=6)
    world.find([(chance.randint(1, 9), chance.randint(0, 3)) for _ in range(30)])
    budget = [150]

    def grow(_: Request) -> list[tuple[int, int]]:
        count = min(budget[0], chance.randint(0, 6))
        budget[0] -= count
        return [(chance.randint(1, 12), chance.randint(-1, 4)) for _ in range(count)]

    world.fail_once = set(chance.sample(range(1, 31), 8))
    world.run(grow)
    assert ids(world) == list(range(1, len(world.rows) + 1))
    assert world.frontier.pending == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([0.0, 0.01, 1.0]), st.integers(1, 6))
def test_never_breaks_politeness(seed: int, per_host: int, delay: float, hosts: int) -> None:
    """`World.start` asserts the limit and the delay at every start."""
    world = World(seed, Politeness(per_host=per_host, delay=delay))
    world.find([(i % hosts + 1, i % 3) for i in range(40)])
    world.run()
    assert len(world.fetched) == 40


def test_crawls_a_host_by_priority_and_then_in_order_of_discovery() -> None:
    world = World(1, Politeness(per_host=1))
    world.find([(1, 2), (1, 0), (1, 1), (1, 0)])
    world.run()
    assert [row[3] for row in world.fetched] == [2, 4, 3, 1]


def test_a_slow_host_holds_up_nobody() -> None:
    """One host may be asked every ten seconds only; the other's URLs do not queue behind it."""
    frontier = Frontier(lambda: HostClock(Politeness(per_host=1, delay=10.0)), use_robots=False)
    rows = [[1, 0, i, f"http://slow.test/{i}", 0, None, 0, None, "slow.test"] for i in range(1, 20)]
    rows += [[i, 0, i, f"http://h{i}.test/", 0, None, 0, None, f"h{i}.test"] for i in range(20, 40)]
    frontier.add(rows, 0.0)
    hosts = []
    while isinstance(step := frontier.next(0.0), Request):
        hosts.append(step.host)
    assert sorted(hosts) == sorted(["slow.test", *(f"h{i}.test" for i in range(20, 40))])
    assert step == Wait(None)


def test_asks_for_robots_before_any_page_of_an_origin_and_only_once() -> None:
    world = World(3, Politeness(per_host=4))
    world.find([(1, 0)] * 20 + [(2, 0)] * 20)
    world.run()
    assert sorted(world.robots_asked) == ["http://h1.test", "http://h2.test"]


def test_denies_what_robots_disallows_without_fetching_it() -> None:
    world = World(4, Politeness(per_host=4))
    world.robots_body = b"User-agent: *\nDisallow: /1\n"
    world.find([(1, 0)] * 15)
    world.run()
    assert sorted(world.denied) == [(i, Reason.ROBOTS) for i in (1, 10, 11, 12, 13, 14, 15)]
    assert ids(world) == [2, 3, 4, 5, 6, 7, 8, 9]


def test_asks_for_robots_again_when_it_expired() -> None:
    frontier = Frontier(lambda: HostClock(Politeness(per_host=4)))
    frontier.add([[1, 0, i, f"http://a.test/{i}", 0, None, 0, None, "a.test"] for i in (1, 2)], 0.0)
    assert frontier.next(0.0) == NeedRobots("http://a.test", 1)
    frontier.robots("http://a.test", rules(), expires_at=100.0, crawl_delay=0.0)
    first = frontier.next(99.0)
    assert isinstance(first, Request)
    assert first.id == 1
    assert frontier.next(100.0) == NeedRobots("http://a.test", 1)


def test_keeps_crawl_delay() -> None:
    frontier = Frontier(lambda: HostClock(Politeness(per_host=4)))
    frontier.add([[1, 0, i, f"http://a.test/{i}", 0, None, 0, None, "a.test"] for i in (1, 2)], 0.0)
    assert isinstance(frontier.next(0.0), NeedRobots)
    frontier.robots("http://a.test", rules(), expires_at=inf, crawl_delay=5.0)
    assert isinstance(frontier.next(1.0), Request)
    assert frontier.next(1.0) == Wait(6.0)


def test_a_retry_waits_for_its_time_and_counts_the_attempt() -> None:
    frontier = Frontier(lambda: HostClock(Politeness()), use_robots=False)
    frontier.add([[1, 0, 1, "http://a.test/1", 0, None, 0, None, "a.test"]], 0.0)
    first = frontier.next(0.0)
    assert isinstance(first, Request)
    frontier.fetched(first, 1.0, Verdict.ALIVE)
    frontier.retry(first, 5.0)
    assert frontier.next(4.0) == Wait(5.0)
    second = frontier.next(5.0)
    assert isinstance(second, Request)
    assert (second.id, second.attempt) == (1, 2)


def test_memory_holds_a_window_however_many_urls_are_pending() -> None:
    """A crawl of ten million known URLs must not need more memory than one of a hundred thousand."""
    frontier = Frontier(lambda: HostClock(Politeness()), use_robots=False, max_hosts=50, window=1000)
    for start in range(0, 100_000, 1000):
        rows = [
            [i % 400, i // 1000, i, f"http://h{i % 400}.test/{i}", 0, None, 0, None, f"h{i % 400}.test"]
            for i in range(start + 1, start + 1001)
        ]
        frontier.add(rows, 0.0)
    held = [host.window for host in frontier._hosts.values()]
    assert len(held) == 50
    assert sum(map(len, held)) <= 50 * 2 * room.LARGEST_WINDOW
    assert frontier.pending == 100_000


def test_follows_robots_redirects_to_a_host_it_does_not_know() -> None:
    """RFC 9309 2.3.1.2: redirects are followed; the host they lead to is asked politely too."""
    frontier = Frontier(lambda: HostClock(Politeness(per_host=1)))
    frontier.add([[1, 0, 1, "http://a.test/1", 0, None, 0, None, "a.test"]], 0.0)
    assert isinstance(frontier.next(0.0), NeedRobots)
    hop = Request(
        id=0, url=CanonicalUrl("http://b.test/robots.txt"), host="b.test", kind=Kind.ROBOTS, origin="http://a.test"
    )
    frontier.want_robots(hop, 0.0)
    assert frontier.next(0.0) == hop
    frontier.fetched(hop, 1.0, Verdict.ALIVE)
    frontier.robots("http://a.test", rules(), expires_at=inf, crawl_delay=0.0)
    step = frontier.next(1.0)
    assert isinstance(step, Request)
    assert step.id == 1
