"""Reads a server's access log for bad manners of a crawler. Pure, and independent of the crawler's own rules.

The log is the server's: a request is in flight from the moment its head was read to the moment its answer was handed to
the kernel. That is a part of the time the client sees, so a client that keeps its limits is never found guilty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from protego import Protego

from crawler.demo.log import Entry
from crawler.demo.site import Demo

_CLOSED = "User-agent: *\nDisallow: /\n"


class Fault(Enum):
    """What a crawler did wrong."""

    ROBOTS = "asked for what robots.txt disallows"
    UNREAD = "asked before it had read robots.txt"
    CROWD = "had more requests in flight than the limit"
    HASTE = "started sooner than the delay"


@dataclass(frozen=True, slots=True)
class Violation:
    """One fault, the request it was seen at, and by how much."""

    fault: Fault
    entry: Entry
    detail: str = ""


def robots_of(demo: Demo) -> dict[str, str | None]:
    """Return the robots.txt of each host of a demo site; None where everything is allowed (404)."""
    found: dict[str, str | None] = {}
    for host in demo.hosts_served:
        answer = demo.answer(host, "/robots.txt", accept="")
        found[host] = answer.body.decode() if answer.status == 200 else _CLOSED if answer.status >= 500 else None
    return found


def violations(
    entries: Iterable[Entry],
    robots: Mapping[str, str | None],
    *,
    agent: str,
    per_host: int,
    delay: float = 0.0,
    tolerance: float = 0.005,
) -> list[Violation]:
    """Return every violation, host by host, in order of time.

    `agent` is the product token robots.txt knows the crawler by. `delay` is the least time between two starts on one
    host, in seconds; a Crawl-delay of the host counts where it is longer. `tolerance` (seconds) is for the way between
    client and server, which is not equally long for every request. Raises KeyError for a host that `robots` lacks.
    """
    by_host: dict[str, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: entry.start):
        by_host[entry.host].append(entry)
    found: list[Violation] = []
    for host, requests in sorted(by_host.items()):
        text = robots[host]
        rules = None if text is None else Protego.parse(text)
        found += _disobeyed(requests, host, rules, agent)
        found += _crowds(requests, per_host, tolerance)
        found += _hasty(requests, delay, (rules and rules.crawl_delay(agent)) or 0.0, tolerance)
    return found


def _disobeyed(requests: list[Entry], host: str, rules: Protego | None, agent: str) -> Iterator[Violation]:
    read = min((entry.end for entry in requests if _is_robots(entry) and entry.complete), default=float("inf"))
    for entry in requests:
        if _is_robots(entry):
            continue
        if entry.start < read:
            yield Violation(Fault.UNREAD, entry)
        if rules is not None and not rules.can_fetch(f"http://{host}{entry.path}", agent):
            yield Violation(Fault.ROBOTS, entry)


def _crowds(requests: list[Entry], per_host: int, tolerance: float) -> Iterator[Violation]:
    flying: list[float] = []
    for entry in requests:
        flying = [end for end in flying if end - tolerance > entry.start]
        flying.append(entry.end)
        if len(flying) > per_host:
            yield Violation(Fault.CROWD, entry, f"{len(flying)} in flight, limit {per_host}")


def _hasty(requests: list[Entry], delay: float, crawl_delay: float, tolerance: float) -> Iterator[Violation]:
    for before, entry in pairwise(requests):
        least = delay if _is_robots(entry) else max(delay, crawl_delay)
        if entry.start - before.start < least - tolerance:
            yield Violation(Fault.HASTE, entry, f"after {entry.start - before.start:.4f} s, delay {least:g} s")


def _is_robots(entry: Entry) -> bool:
    return entry.path == "/robots.txt"
