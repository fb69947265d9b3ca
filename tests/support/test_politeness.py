"""The checker of the server's log must catch each kind of bad manners, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from crawler.demo.log import Entry
from crawler.demo.site import Demo
from tests.support.politeness import Fault, robots_of, violations

RULES = {"a": "User-agent: *\nDisallow: /private/\n", "b": "User-agent: *\nCrawl-delay: 2\n", "c": None}
ROBOTS = Entry(0.0, 0.1, 0.0, "a", "/robots.txt", 200, "test", 1, True)


def _at(start: float, path: str = "/x", *, host: str = "a", lasts: float = 0.1) -> Entry:
    return replace(ROBOTS, start=start, end=start + lasts, path=path, host=host)


def _faults(
    *entries: Entry, per_host: int = 1, delay: float = 0.0, tolerance: float = 0.0
) -> list[tuple[Fault, float]]:
    found = violations(entries, RULES, agent="test", per_host=per_host, delay=delay, tolerance=tolerance)
    return [(violation.fault, violation.entry.start) for violation in found]


def test_a_polite_crawl_has_no_violations() -> None:
    assert _faults(ROBOTS, _at(1.0), _at(2.0), _at(3.0, "/open"), delay=1.0) == []


def test_a_request_against_robots_is_found() -> None:
    assert _faults(ROBOTS, _at(1.0, "/private/1.html")) == [(Fault.ROBOTS, 1.0)]


def test_a_host_without_robots_allows_everything() -> None:
    assert _faults(replace(ROBOTS, host="c", status=404), _at(1.0, "/private/1.html", host="c")) == []


def test_a_request_without_or_before_robots_is_found() -> None:
    assert _faults(_at(1.0)) == [(Fault.UNREAD, 1.0)]
    assert _faults(_at(0.05), ROBOTS, per_host=2) == [(Fault.UNREAD, 0.05)]


def test_an_unfinished_robots_answer_is_not_read() -> None:
    assert _faults(replace(ROBOTS, complete=False), _at(1.0)) == [(Fault.UNREAD, 1.0)]


def test_more_in_flight_than_the_limit_is_found_whatever_the_order_of_the_log() -> None:
    three = [_at(1.0, lasts=5), _at(2.0, lasts=5), _at(3.0, lasts=5)]
    assert _faults(*reversed(three), ROBOTS, per_host=2) == [(Fault.CROWD, 3.0)]
    assert _faults(*three, ROBOTS, per_host=3) == []


def test_hosts_are_counted_on_their_own() -> None:
    other = replace(ROBOTS, host="c")
    assert _faults(ROBOTS, other, _at(1.0, lasts=5), _at(2.0, host="c", lasts=5)) == []


def test_the_end_of_one_request_may_be_the_start_of_the_next() -> None:
    assert _faults(ROBOTS, _at(1.0, lasts=1), _at(2.0)) == []


def test_starts_sooner_than_the_delay_are_found() -> None:
    assert _faults(ROBOTS, _at(1.0), _at(1.9), delay=1.0) == [(Fault.HASTE, 1.9)]
    assert _faults(ROBOTS, _at(1.0), _at(1.9), delay=1.0, tolerance=0.2) == []


def test_crawl_delay_counts_where_it_is_longer() -> None:
    robots = replace(ROBOTS, host="b")
    assert _faults(robots, _at(2.0, host="b"), _at(3.5, host="b"), delay=1.0) == [(Fault.HASTE, 3.5)]


def test_the_rules_of_a_demo_site_are_read_from_its_answers() -> None:
    found = robots_of(Demo(pages=40, closed_host=True))
    assert found["127.0.0.3"] is None
    assert "Disallow: /private/" in (found["127.0.0.1"] or "")
    assert found["127.0.0.5"] == "User-agent: *\nDisallow: /\n"
