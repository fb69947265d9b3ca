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


def progress(written: int, hashed: int = 0, size: int | None = 100 * MB, name: str = "x") -> FileProgress:
    return FileProgress(f"http://a/{name}", name, size, written, hashed, 4)


def result() -> FileResult:
    return FileResult(
        "http://a/x", "http://a/x", None, "failed", Fault.GONE, "", None, {}, (), None, 1, 0, 1, 1.0, 0, 0
    )


def drawn(fd: int, until: bytes) -> bytes:
    found = b""
    while until not in found:  # a terminal gives what was written in any number of parts
        assert select([fd], [], [], 5.0)[0], found
        found += os.read(fd, 65536)
    return found


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
        found = drawn(ours, b"\x1b[?25h")  # the cursor is back
        assert b"x " in found
        assert b"100.0 MB" in found
        assert b"all," not in found, "one file is all files"
        assert isinstance(watching(Output(theirs), {"TERM": "xterm"}, plain=True), Lines)
        assert isinstance(watching(Output(theirs), {"TERM": "dumb"}, plain=False), Lines)
    finally:
        os.close(ours)
        os.close(theirs)


def test_several_files_have_a_bar_for_all_of_them() -> None:
    ours, theirs = pty.openpty()
    try:
        now = 0.0
        shown = Bars(Output(theirs), lambda: now)
        shown.moved(progress(10 * MB))
        now = 1.0
        shown.moved(progress(50 * MB, 25 * MB, size=300 * MB, name="y"))
        found = drawn(ours, b"all, 0 done")
        assert b"60.0/400.0 MB" in found + drawn(ours, b"6% hashed")
        shown.ended(result()._replace(fault=None, size=100 * MB))
        shown.moved(progress(80 * MB, 80 * MB, size=300 * MB, name="y"))
        found = drawn(ours, b"all, 1 done")
        assert b"180.0/400.0 MB" in found + drawn(ours, b"45% hashed")
        shown.close()
    finally:
        os.close(ours)
        os.close(theirs)


def test_the_line_of_a_file_stands_alone() -> None:
    """It goes to another descriptor, which may be the same terminal."""
    ours, theirs = pty.openpty()
    try:
        shown = Bars(Output(theirs))
        shown.moved(progress(10 * MB))
        drawn(ours, b" hashed")
        shown.ended(result())
        Output(theirs).line("x: verified")
        assert b"\x1b[2K" in drawn(ours, b"x: verified"), "the bar was erased before"
        shown.moved(progress(10 * MB, name="next"))
        assert b"next" in drawn(ours, b"next"), "and comes back with the next file"
        shown.close()
    finally:
        os.close(ours)
        os.close(theirs)
