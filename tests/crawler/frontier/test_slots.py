"""Downloads take their turns from the frontier: the same clock, the same limit, the same pauses as pages."""

from __future__ import annotations

import random
from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.frontier.frontier import Frontier
from crawler.frontier.host import MOST_FILES, Row
from crawler.frontier.politeness import HostClock, Politeness, Verdict
from crawler.frontier.request import Kind, Request
from crawler.frontier.steps import Done, FileFound, Slot, Wait
from pipelines.url import CanonicalUrl

HOST = "a.test"


def row(number: int, path: str = "", name: str = HOST) -> Row:
    return [1, 0, number, f"http://{name}/{path or number}", 0, None, 0, None, name]


def frontier_of(*rows: Row, per_host: int = 1, delay: float = 0.0, files: str = ".zip") -> Frontier:
    frontier = Frontier(
        lambda: HostClock(Politeness(per_host=per_host, delay=delay)),
        use_robots=False,
        is_file=lambda found: found[3].endswith(files),
    )
    frontier.add(rows, 0.0)
    return frontier


def test_a_file_is_found_without_taking_a_place_at_its_host() -> None:
    frontier = frontier_of(row(1, "a.zip"), row(2), per_host=1)
    found = frontier.next(0.0)
    assert isinstance(found, FileFound)
    assert found.request.url == "http://a.test/a.zip"
    page = frontier.next(0.0)
    assert isinstance(page, Request), "the host is free for a page"
    frontier.fetched(page, 1.0, Verdict.ALIVE)
    frontier.settled(page)
    assert frontier.next(1.0) == Wait(None), "the file is under way"
    frontier.settled(found.request)
    assert frontier.next(1.0) == Done()


def test_a_host_with_all_the_files_it_may_have_stands_still_and_no_other_does() -> None:
    """Else one host's files would fill the room that the files of all hosts have."""
    frontier = frontier_of(*(row(number, f"{number}.zip") for number in range(MOST_FILES + 2)))
    found = []
    while isinstance(step := frontier.next(0.0), FileFound):
        found.append(step.request)
        assert frontier.began_file(step.request) == (len(found) == MOST_FILES)
    assert step == Wait(None)
    assert len(found) == MOST_FILES
    frontier.want_slot(7, HOST)
    assert frontier.next(0.0) == Slot(7), "its files go on"
    frontier.left(HOST, 0.0)
    robots = Request(0, CanonicalUrl("http://a.test/robots.txt"), HOST, kind=Kind.ROBOTS)
    frontier.want_robots(robots, 0.0)
    assert frontier.next(0.0) == robots, "no page waits for a rule"
    frontier.fetched(robots, 0.0, Verdict.ALIVE)
    frontier.add([[2, 0, MOST_FILES + 2, "http://b.test/", 0, None, 0, None, "b.test"]], 0.0)
    other = frontier.next(0.0)
    assert isinstance(other, Request)
    assert other.host == "b.test"
    frontier.settled(found.pop())
    assert isinstance(frontier.next(0.0), FileFound), "one has ended: there is room for one"


def test_segments_share_the_limit_of_their_host_with_pages() -> None:
    frontier = frontier_of(row(1), row(2), per_host=2)
    for ticket in (7, 8):
        frontier.want_slot(ticket, HOST)
    steps = [frontier.next(0.0) for _ in range(3)]
    assert steps[0] == Slot(7), "first come, first served"
    assert isinstance(steps[1], Request), "then a page: a download does not starve them"
    assert steps[2] == Wait(None)
    frontier.left(HOST, 1.0)
    assert frontier.next(1.0) == Slot(8)


def test_segments_keep_the_delay() -> None:
    frontier = frontier_of(per_host=4, delay=2.0)
    for ticket in (1, 2):
        frontier.want_slot(ticket, HOST)
    frontier.pending = 1
    assert frontier.next(0.0) == Slot(1)
    assert frontier.next(0.5) == Wait(2.0)
    assert frontier.next(2.0) == Slot(2)


def test_a_host_that_asks_for_less_gets_less() -> None:
    frontier = frontier_of(row(1), per_host=4)
    frontier.want_slot(1, HOST)
    frontier.want_slot(2, HOST)
    assert frontier.next(0.0) == Slot(1)
    frontier.slowed_down(HOST, 1.0, pause_until=31.0)
    frontier.left(HOST, 1.0)
    assert frontier.next(1.0) == Wait(31.0), "neither a segment nor a page"
    assert isinstance(frontier.next(31.0), Request)
    assert frontier.next(31.0) == Slot(2)


def test_a_mirror_nobody_crawls_has_a_clock_of_its_own() -> None:
    frontier = frontier_of(per_host=1)
    frontier.pending = 1
    frontier.want_slot(1, "mirror.test")
    frontier.want_slot(2, "mirror.test")
    assert frontier.next(0.0) == Slot(1)
    assert frontier.next(0.0) == Wait(None)
    frontier.left("mirror.test", 1.0)
    assert frontier.next(1.0) == Slot(2)
    frontier.left("mirror.test", 2.0)
    assert frontier._evict(2.0), "and is forgotten when it is done"
    assert frontier._by_name == {}


def test_a_wish_can_be_taken_back_until_it_is_granted() -> None:
    frontier = frontier_of(per_host=1)
    frontier.pending = 1
    for ticket in (1, 2, 3):
        frontier.want_slot(ticket, HOST)
    assert frontier.next(0.0) == Slot(1)
    assert frontier.withdraw(2)
    assert not frontier.withdraw(1), "this one has its place, which has to be given back"
    frontier.left(HOST, 1.0)
    assert frontier.next(1.0) == Slot(3)


def test_without_room_for_pages_only_downloads_go_on() -> None:
    frontier = frontier_of(row(1), row(2), per_host=2)
    frontier.want_slot(1, HOST)
    frontier.want_slot(2, HOST)
    steps = [frontier.next_slot(0.0) for _ in range(3)]
    assert steps == [Slot(1), Slot(2), Wait(None)]


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.sampled_from([0.0, 0.25, 1.0]))
def test_pages_and_segments_together_never_break_politeness(seed: int, per_host: int, delay: float) -> None:
    """Any mix of wishes, pages, answers and withdrawals: never above the limit, never sooner than the delay."""
    random_ = random.Random(seed)
    frontier = frontier_of(*(row(number) for number in range(20)), per_host=per_host, delay=delay)
    now, last_start, tickets = 0.0, float("-inf"), iter(range(1000))
    out: deque[Request | None] = deque()
    wishes = 12
    for _ in range(3000):
        if wishes and (random_.random() < 0.3 or not frontier.pending):
            frontier.want_slot(next(tickets), HOST)
            wishes -= 1
        match frontier.next(now):
            case Slot():
                assert now - last_start >= delay - 1e-9
                last_start = now
                out.append(None)
            case Request() as request:
                assert now - last_start >= delay - 1e-9
                last_start = now
                out.append(request)
            case Wait(until) if until is not None:
                now = max(now, until)
            case _:
                pass
        assert len(out) <= per_host
        if out and random_.random() < 0.5:
            now += random_.random() * 0.2
            ended = out.popleft()
            if ended is None:
                frontier.left(HOST, now)
            else:
                frontier.fetched(ended, now, Verdict.ALIVE)
                frontier.settled(ended)
        if not (frontier.pending or frontier._wishing or out):
            break
    assert frontier.pending == 0, "every page had its turn"
    assert not frontier._wishing, "every segment too"
