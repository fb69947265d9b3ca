"""The thread that writes progress, so that a terminal that stands still (Ctrl-S, a full pipe) holds up no fetch."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from crawler.progress.frame import Frame
from crawler.progress.output import Output

MAX_LINES = 1000  # that wait for a reader; what comes after them is counted, not kept


class View(Protocol):
    """How frames and lines look. Used by one thread."""

    def show(self, frame: Frame) -> None:
        """Show a frame."""

    def line(self, text: str) -> None:
        """Write a line."""

    def close(self) -> None:
        """Leave the output as it should stay."""


class Lines:
    """One line for each frame: for logs, mail from cron, and terminals that cannot do more."""

    def __init__(self, output: Output) -> None:
        """Write to `output`, which stays the caller's."""
        self._output = output

    def show(self, frame: Frame) -> None:
        """Write the frame as one line."""
        self.line("crawl: " + frame.line(datetime.now(UTC)))

    def line(self, text: str) -> None:
        """Write a line."""
        self._output.line(text)

    def close(self) -> None:
        """Nothing to put back."""


class Screen:
    """Takes lines and frames from any thread and never waits. Owns one thread, from `start` to `close`."""

    def __init__(self, view: Callable[[], View]) -> None:
        """`view` is called in the thread, when there is first something to show."""
        self._make_view = view
        self._condition = threading.Condition()
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._frame: Frame | None = None
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="crawlmill-screen", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def line(self, text: str) -> None:
        """Write one line, without control characters, soon."""
        with self._condition:
            if len(self._lines) < MAX_LINES:
                self._lines.append(text)
            else:
                self._dropped += 1
            self._condition.notify()

    def show(self, frame: Frame) -> None:
        """Show a frame soon; one that was not shown yet gives way."""
        with self._condition:
            self._frame = frame
            self._condition.notify()

    def close(self, timeout: float = 1.0) -> None:
        """Write what waits and end; give up after `timeout` seconds, when nobody reads. Further calls do nothing."""
        with self._condition:
            self._is_closing = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)

    # -- in the thread

    def _run(self) -> None:
        view: View | None = None
        while True:
            with self._condition:
                while not (self._lines or self._frame or self._is_closing):
                    self._condition.wait()
                lines, dropped = list(self._lines), self._dropped
                self._lines.clear()
                self._dropped = 0
                frame, self._frame = self._frame, None
                is_closing = self._is_closing
            if lines or frame:
                view = view or self._make_view()
                self._write(view, lines, dropped)
            if view and frame and not is_closing:
                view.show(frame)
            if is_closing:
                if view:
                    view.close()
                return

    def _write(self, view: View, lines: list[str], dropped: int) -> None:
        for line in lines:
            view.line(line)
        if dropped:
            view.line(f"crawl: {dropped} further lines were dropped, because nobody read these")
