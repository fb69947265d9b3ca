"""What a person reads of one moment: complete, narrow enough, and without anything a terminal would obey."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from crawler.engine.snapshot import BusyFile, BusyHost
from crawler.progress.frame import Frame
from crawler.progress.pace import Left

MakeFrame = Callable[..., Frame]
NOW = datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)


def test_rows_tell_everything_within_sixty_columns(frame: MakeFrame) -> None:
    rows = frame(Left(120, 300)).rows()
    assert rows == [
        ("elapsed", "1:23, 2 min to 5 min left"),
        ("pages", "147/s now, 148/s on average"),
        ("bytes", "1.20 MB/s now, 1.48 MB/s on average"),
        ("queue", "5,678 pending, 64 in flight, 12 at the workers"),
        ("done", "12,300 pages, 45 redirects"),
        ("failed", "4: http_4xx 3, dns 1"),
        ("skipped", "45: robots 45"),
        ("workers", "1 of 2 busy"),
        ("memory", "212 MB: 80.0 MB here, 132 MB in the workers"),
        ("hosts", "example.org  8 in flight, 1,200 waiting"),
    ]
    assert max(len(value) for _, value in rows) <= 50


@pytest.mark.parametrize(
    ("left", "shown", "short"),
    [
        (None, "time left unknown", "?"),
        (Left(120, 121), "about 2 min left", "120s..121s"),
        (Left(30, None), "at least 30 s left, the queue still grows", ">30s"),
    ],
)
def test_estimates_claim_no_more_than_is_known(frame: MakeFrame, left: Left | None, shown: str, short: str) -> None:
    assert frame(left).rows()[0][1] == f"1:23, {shown}"
    assert f" left={short} " in frame(left).line(NOW)


def test_a_drain_shows(frame: MakeFrame) -> None:
    assert frame(is_stopping=True).rows()[0] == ("elapsed", "1:23, draining")
    assert frame(is_stopping=True).line(NOW).endswith(" stopping=yes")


def test_many_reasons_are_summed_up(frame: MakeFrame) -> None:
    reasons = {f"reason{number}": 10 - number for number in range(9)}
    assert dict(frame(failed=54, failed_by_reason=reasons).rows())["failed"].endswith("reason5 5, 3 more reasons")


def test_a_line_is_for_grep_and_cut(frame: MakeFrame) -> None:
    assert frame(Left(120, 300)).line(NOW) == (
        "2025-03-04T05:06:07Z elapsed=83s left=120s..300s done=12300 redirected=45 failed=4 skipped=45 pending=5678 "
        "in_flight=64 pages_per_s=147.2 mb_per_s=1.20 workers=1/2 memory=212MB"
    )


def test_a_hostile_host_is_text(frame: MakeFrame) -> None:
    hosts = (BusyHost("\x1b]0;x\x07", 1, 2), BusyHost("[red]", 1, 0), BusyHost("x" * 300, 1, 0))
    shown = [value for _, value in frame(hosts=hosts).rows()][-3:]
    assert shown[0].startswith("\\x1b]0;x\\x07 ")
    assert shown[1].startswith("[red] ")
    assert all(value.isprintable() and len(value) < 80 for value in shown)


FILES = {
    "files": 12, "files_by_status": {"verified": 11, "failed": 1}, "files_waiting": 3,
    "files_under_way": (
        BusyFile("https://a.test/data/big.tar", 600, 1000, 8), BusyFile("https://a.test/odd\x1bname", 600, None, 1),
    ),
}  # fmt: skip


def test_files_are_shown_where_there_are_any(frame: MakeFrame) -> None:
    rows = frame(**FILES).rows()
    at = next(number for number, (label, _) in enumerate(rows) if label == "files")
    assert rows[at : at + 3] == [
        ("files", "12: verified 11, failed 1; 2 under way, 3 waiting"),
        ("", "big.tar      60% of 1.00 kB, 8 connections"),
        ("", "odd\\x1bname  600 B, 1 connection"),
    ]
    assert "files" not in dict(frame().rows())


def test_a_line_tells_of_files_where_there_are_any(frame: MakeFrame) -> None:
    assert " files=12 files_open=5" in frame(**FILES).line(NOW)
    assert "files" not in frame().line(NOW)
