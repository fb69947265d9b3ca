"""All cases that are a server's doing, in order of their numbers. The others are no scripts: see `elsewhere`."""

from __future__ import annotations

from crawler.testing.cases import digests, framing, identity, ranges, redirects, retry
from crawler.testing.cases.case import Case

CASES: tuple[Case, ...] = tuple(
    sorted(
        (case for room in (ranges, identity, framing, redirects, retry, digests) for case in room.SHELF.cases),
        key=lambda case: case.number,
    )
)
"""Sorted by number; those of one number stand in the order in which their file has them."""

_BY_NAME = {case.name: case for case in CASES}
assert len(_BY_NAME) == len(CASES), "two cases have one name"


def named(name: str) -> Case:
    """Return a case by its name, such as "D9-no-unit". Raises KeyError when there is none."""
    return _BY_NAME[name]
