"""Whoever shows something never waits for whoever reads it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from crawler.progress.frame import Frame
from crawler.progress.screen import MAX_LINES, Screen

MakeFrame = Callable[..., Frame]


class Shown:
    """A view that remembers, and can stand still."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.frames: list[Frame] = []
        self.is_closed = False
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.was_asked = threading.Event()

    def show(self, frame: Frame) -> None:
        self.was_asked.set()
        self.may_go_on.wait(5)
        self.frames.append(frame)

    def line(self, text: str) -> None:
        self.was_asked.set()
        self.may_go_on.wait(5)
        self.lines.append(text)

    def close(self) -> None:
        self.is_closed = True


def test_what_was_said_is_written_before_the_end() -> None:
    shown = Shown()
    screen = Screen(lambda: shown)
    screen.start()
    for number in range(100):
        screen.line(str(number))
    screen.close()
    assert shown.lines == [str(number) for number in range(100)]
    assert shown.is_closed


def test_with_nothing_to_show_no_view_is_made() -> None:
    made: list[int] = []

    def make() -> Shown:
        made.append(1)
        return Shown()

    screen = Screen(make)
    screen.start()
    screen.close()
    assert made == []


def test_only_the_latest_frame_waits_for_a_reader_that_stands_still(frame: MakeFrame) -> None:
    shown = Shown()
    shown.may_go_on.clear()
    screen = Screen(lambda: shown)
    screen.start()
    frames = [frame(done=number) for number in range(50)]
    screen.show(frames[0])
    assert shown.was_asked.wait(5)
    for later in frames[1:]:
        screen.show(later)
    shown.may_go_on.set()
    while len(shown.frames) < 2:
        pass
    screen.close()
    assert shown.frames == [frames[0], frames[-1]]


def test_lines_that_nobody_reads_are_counted_not_kept() -> None:
    shown = Shown()
    shown.may_go_on.clear()
    screen = Screen(lambda: shown)
    screen.start()
    screen.line("first")
    assert shown.was_asked.wait(5)
    for number in range(MAX_LINES + 7):
        screen.line(str(number))
    shown.may_go_on.set()
    screen.close()
    assert len(shown.lines) == 1 + MAX_LINES + 1
    assert shown.lines[-1].startswith("crawl: 7 further lines were dropped")


def test_a_reader_that_never_reads_does_not_hold_up_the_end() -> None:
    shown = Shown()
    shown.may_go_on.clear()
    screen = Screen(lambda: shown)
    screen.start()
    screen.line("unread")
    assert shown.was_asked.wait(5)
    screen.close(timeout=0.05)
    assert shown.lines == []
    shown.may_go_on.set()
