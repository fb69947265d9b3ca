"""Progress of downloads: lines where there is no terminal, bars where there is one, nothing for the short ones."""

from __future__ import annotations

import os
import pty
from select import select

from crawler.download.fault import Fault
from crawler.download.values import FileProgress, FileResult
from crawler.progress.downloads import PLAIN_SECONDS, Bars, Lines, watching
from crawler.progress.output import Output

MB = 10**6


def progress(written: int, hashed: int = 0, size: int | None = 100 * MB) -> FileProgress:
    return FileProgress("http://a/x", "x", size, written, hashed, 4)


def result() -> FileResult:
    return FileResult(
        "http://a/x", "http://a/x", None, "failed", Fault.GONE, "", None, {}, (), None, 1, 0, 1, 1.0, 0, 0
    )


def test_a_line_tells_rate_rest_and_what_is_to_be_verified() -> None:
    lines: list[str] = []
    now = 0.0
    shown = Lines(lines.append, lambda: now)
    shown.moved(progress(1 * MB))
    assert lines == []
    now = PLAIN_SECONDS
    shown.moved(progress(50 * MB, 40 * MB))
    assert lines == ["crawl download: 1 under way, 50.0 MB at 10.0 MB/s, 5 s left of these, 10.0 MB to be verified"]
    now = 2 * PLAIN_SECONDS
    shown.ended(result())
    assert lines[1].startswith("crawl download: 1 done, 0 under way")


def test_a_file_of_unknown_size_has_no_end_in_sight() -> None:
    lines: list[str] = []
    now = 0.0
    shown = Lines(lines.append, lambda: now)
    now = PLAIN_SECONDS
    shown.moved(progress(50 * MB, size=None))
    assert "left" not in lines[0]


def test_bars_are_for_terminals_and_go_away() -> None:
    ours, theirs = pty.openpty()
    try:
        shown = watching(Output(theirs), {"TERM": "xterm"}, plain=False)
        assert isinstance(shown, Bars)
        shown.moved(progress(10 * MB))
        shown.moved(progress(50 * MB, 25 * MB))
        shown.ended(result())
        shown.close()
        drawn = b""
        while b"\x1b[?25h" not in drawn:  # the cursor is back; a terminal gives what was written in any number of parts
            assert select([ours], [], [], 5.0)[0], drawn
            drawn += os.read(ours, 65536)
        assert b"x " in drawn
        assert b"100.0 MB" in drawn
        assert isinstance(watching(Output(theirs), {"TERM": "xterm"}, plain=True), Lines)
        assert isinstance(watching(Output(theirs), {"TERM": "dumb"}, plain=False), Lines)
    finally:
        os.close(ours)
        os.close(theirs)
