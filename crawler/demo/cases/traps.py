"""Endless places, and what stops a crawl in each: by default all of them end, and `Limits` says exactly where.

| trap | grows | ends by |
|---|---|---|
| /calendar/2026/11/ | next and previous month, for ever | robots.txt (host 1 disallows /calendar/) |
| /trap/again/again/ | the same segment once more | `scope.max_repeated_segments` (3: the fourth is refused) |
| /trap/down/1/2/…/12/ | twelve new segments | `scope.max_segments` (50: the path of 62 is refused) |
| /trap/search?q=x | a query eight times as long | `scope.max_query_length` (2,000: the one of 4,098 is refused) |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from crawler.demo.answer import Answer, Kind, html
from crawler.demo.cases.case import Case
from crawler.demo.render import frame

_AGAIN = re.compile(r"/trap/(?:again/)+")
_DOWN = re.compile(r"/trap/down/(?:[0-9]+/)+")
_SEARCH = re.compile(r"/trap/search\?q=x+")
_MONTH = re.compile(r"/calendar/([0-9]{4})/([0-9]{2})/")
_STEPS = 12
_GROWTH = 8
_LONGEST_QUERY = 30_000  # a request head holds 64 KiB
CALENDAR = "/calendar/2026/11/"


class Limits(NamedTuple):
    """The scope rules that end the traps, with the defaults of the crawler."""

    max_repeated_segments: int = 3
    max_segments: int = 50
    max_query_length: int = 2_000


class _Room(NamedTuple):
    title: str
    links: tuple[str, ...]


def answer(target: str) -> Answer | None:
    """Return the page of a trap, or None when `target` is in none."""
    room = _room(target)
    return None if room is None else html(_body(room))


def cases(origin: str, limits: Limits) -> Iterator[Case]:
    """Yield what a crawl within `limits` sees of the traps: their first pages, and the link it refuses."""
    for start, note in (
        ("/trap/again/", "a path that repeats itself"),
        ("/trap/down/" + _segments(1), "a path that grows"),
        ("/trap/search?q=x", "a query that grows"),
    ):
        target, text = start, note
        while (room := _room(target)) is not None:
            if not _within(target, limits):
                yield Case(origin + target, Kind.TRAP)
                break
            yield Case(origin + target, Kind.PAGE, body=_body(room), title=room.title, note=text)
            target, text = room.links[0], ""
    yield Case(origin + CALENDAR, Kind.DISALLOWED, note="a calendar without end; robots.txt forbids it")


def _room(target: str) -> _Room | None:
    if _AGAIN.fullmatch(target):
        return _Room("Again", (target + "again/",))
    if _DOWN.fullmatch(target):
        return _Room("Further down", (target + _segments(target.count("/") - 2),))
    if _SEARCH.fullmatch(target):
        word = target.partition("=")[2]
        longer = word * _GROWTH
        return _Room("Search", (f"/trap/search?q={longer}",) if len(longer) < _LONGEST_QUERY else ())
    if month := _MONTH.fullmatch(target):
        return _calendar(int(month[1]), int(month[2]))
    return None


def _calendar(year: int, month: int) -> _Room | None:
    if not 1 <= month <= 12:
        return None
    count = year * 12 + month - 1
    near = (f"/calendar/{n // 12:04}/{n % 12 + 1:02}/" for n in (count + 1, count - 1) if 0 <= n < 120_000)
    return _Room(f"Month {year:04}-{month:02}", tuple(near))


def _segments(first: int) -> str:
    return "".join(f"{n}/" for n in range(first, first + _STEPS))


def _within(target: str, limits: Limits) -> bool:
    path, _, query = target.partition("?")
    segments = path.strip("/").split("/")
    most = max(segments.count(segment) for segment in segments)
    return (
        len(query) <= limits.max_query_length
        and len(segments) <= limits.max_segments
        and most <= limits.max_repeated_segments
    )


def _body(room: _Room) -> bytes:
    links = "".join(f'<li><a href="{link}">more</a></li>\n' for link in room.links)
    return frame(room.title, f"<p>There is always more.</p>\n<ul>\n{links}</ul>\n".encode())
