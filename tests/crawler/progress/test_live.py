"""The live view on a real pseudo-terminal."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from crawler.engine.snapshot import BusyHost
from crawler.progress.frame import Frame
from crawler.progress.live import LiveView
from crawler.progress.output import Output
from tests.support.command import MakeJob, Site, Terminal, plain

MakeFrame = Callable[..., Frame]
LABELS = ("elapsed", "pages", "bytes", "queue", "done", "failed", "skipped", "workers", "memory", "hosts")


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


def drawn(frame: Frame, terminal: Terminal, lines: tuple[str, ...] = ()) -> str:
    """Return what a terminal of this size gets for a frame, with lines said after it."""
    view = LiveView(Output(terminal.theirs))
    view.show(frame)
    for line in lines:
        view.line(line)
    terminal._read(0.2)
    seen = terminal.seen.decode()
    view.close()
    return seen


def test_it_shows_everything_and_then_makes_room_for_the_result(
    make_job: MakeJob, slow_site: Site, terminal: Terminal
) -> None:
    job = make_job(slow_site)
    ran = terminal.end_of(terminal.start(job))
    assert ran.code == 0
    view, _, result = plain(ran.out).partition("crawl: complete after")
    for label in LABELS:
        assert re.search(rf"^{label} ", view, re.MULTILINE), label
    assert re.search(r"queue +[\d,]+ pending, \d+ in flight", view)
    assert re.search(r"memory +[\d.]+ MB: ", view)
    assert "127.0.0.2" in view
    assert re.search(r"^pages +300$", result, re.MULTILINE)
    assert "exit code 0: complete" in result
    assert b"\x1b[?25l" not in terminal.seen, "a killed crawl must not leave a terminal without its cursor"
    assert ran.out.count("elapsed") >= 2, "redrawn"
    assert ran.out.count("elapsed") <= ran.seconds / 0.3 + 1, "at most three times a second"


def test_no_color(make_job: MakeJob, slow_site: Site, terminal: Terminal) -> None:
    job = make_job(slow_site)
    ran = terminal.end_of(terminal.start(job, "--max-pages", "200", NO_COLOR="1"))
    assert ran.code == 4
    assert "in flight" in ran.out
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", ran.out), "no colour, whatever else is set"


@pytest.mark.parametrize(("arguments", "environ"), [(["--plain"], {}), ([], {"TERM": "dumb"})])
def test_a_terminal_without_cursor_movement_gets_lines(
    arguments: list[str], environ: dict[str, str], make_job: MakeJob, slow_site: Site, terminal: Terminal
) -> None:
    job = make_job(slow_site, report={"interval": "200ms"})
    ran = terminal.end_of(terminal.start(job, *arguments, "--max-pages", "200", **environ))
    assert ran.code == 4
    assert "\x1b" not in ran.out
    assert " in_flight=" in ran.out


def test_a_narrow_terminal_gets_one_row_a_line(frame: MakeFrame) -> None:
    terminal = Terminal(columns=32, rows=40)
    try:
        rows = plain(drawn(frame(), terminal)).splitlines()
    finally:
        terminal.close()
    assert len(rows) == len(LABELS)
    assert max(map(len, rows)) <= 32
    assert rows[3].endswith("…")


def test_a_low_terminal_is_not_scrolled(frame: MakeFrame) -> None:
    terminal = Terminal(columns=80, rows=5)
    try:
        rows = plain(drawn(frame(), terminal)).splitlines()
    finally:
        terminal.close()
    assert len(rows) <= 5


def test_hostile_text_is_shown_as_it_is_spelled(frame: MakeFrame, terminal: Terminal) -> None:
    hosts = (BusyHost("[red]", 1, 2), BusyHost("\x1b]0;owned\x07", 1, 2), BusyHost("[/]", 1, 1))
    seen = drawn(frame(hosts=hosts), terminal, ("crawl: [bold]loud[/bold] [link=http://x/]",))
    assert "[red]" in seen
    assert "[/]" in seen
    assert "\\x1b]0;owned\\x07" in seen
    assert "\x1b]0;" not in seen
    assert "\x07" not in seen
    assert "[bold]loud[/bold] [link=http://x/]" in seen


def test_a_frame_costs_little(frame: MakeFrame, terminal: Terminal) -> None:
    """Three a second for less than one per cent of a core, with room for a slow machine."""
    view = LiveView(Output(os.open(os.devnull, os.O_WRONLY)))
    view.show(frame())
    began = time.thread_time()
    for _ in range(50):
        view.show(frame())
    assert (time.thread_time() - began) / 50 < 0.01
    view.close()
    os.close(view._output.fd)


def test_log_lines_stand_above_the_view(make_job: MakeJob, slow_site: Site, terminal: Terminal) -> None:
    """And a stopped crawl that is continued goes on drawing."""
    noisy = """
import logging
from crawler.engine.loop import Engine
start = Engine._start
def said(self, request):
    if request.id == 100:
        logging.getLogger("crawler.test").warning("look at %s", "\\x1b[31m" + request.url)
    start(self, request)
Engine._start = said
"""
    job = make_job(slow_site)
    process = terminal.start(job, sabotage=noisy)
    terminal.read_until(b"in flight")
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGCONT)
    ran = terminal.end_of(process)
    assert ran.code == 0
    assert "crawl: WARNING: crawler.test: look at \\x1b[31mhttp://" in ran.out
    assert "\x1b[31m" not in ran.out
