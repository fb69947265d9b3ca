"""What a file notes for the others: which refusals are a matter of how many ask at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from crawler.download.books import Books
from crawler.download.crew import Crew
from crawler.download.fault import Fault
from crawler.download.plan.refusals import Refusals
from crawler.download.retry import Patience, Sources
from crawler.download.values import DownloadOptions
from crawler.download.worker.wire import END_UNKNOWN, Ended

URL = "http://example.org/file"
ANSWERED, ASKED = True, False


class FakeCrew:
    """Requests of all files at one host, answered or not yet."""

    def __init__(self, under_way: list[bool]) -> None:
        self._under_way = under_way

    def new_file(self) -> int:
        return 1

    def running_at(self, host: str) -> list[SimpleNamespace]:
        assert host == "example.org"
        return [SimpleNamespace(is_answered=is_answered) for is_answered in self._under_way]


@pytest.mark.parametrize(
    ("fault", "status", "under_way", "above"),
    [
        (Fault.RATE_LIMITED, 429, [ASKED, ANSWERED], 2),
        (Fault.HTTP_5XX, 503, [ASKED], 1),
        (Fault.RATE_LIMITED, 429, [], None),  # alone: its number is not what is too much
        (Fault.DISCONNECTED, 0, [ANSWERED, ASKED, ASKED], 3),
        (Fault.DISCONNECTED, 0, [ASKED, ASKED, ASKED], None),  # the line was cut, for all
    ],
)
async def test_d22_what_is_remembered(fault: Fault, status: int, under_way: list[bool], above: int | None) -> None:
    refusals = Refusals(8)
    crew = cast("Crew", FakeCrew(under_way))
    sources = Sources([URL], Patience(1, 1.0, 1.0, 1.0))
    books = Books(crew, cast("Any", None), refusals, sources, DownloadOptions())
    books.refused(URL, Ended(1, fault, "", status, None, "", END_UNKNOWN, 0, {}))
    assert refusals.above("example.org", 0.0) == above
