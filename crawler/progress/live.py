"""The live view of a terminal, drawn with rich. The only module that imports rich, and imported when first needed."""

from __future__ import annotations

import os
from typing import IO, cast

from rich.console import Console, ConsoleDimensions
from rich.live import Live
from rich.text import Text

from crawler.progress.frame import Frame
from crawler.progress.output import Output, is_in_foreground

_LABEL_WIDTH = 10


class LiveView:
    """Redraws the figures in place, and writes lines above them.

    Everything is a `Text`, never markup: a host called `[red]` is shown as it is spelled. (It is also cheaper: a frame
    of `Text` takes 1 ms, a `Table` of the same size 5 ms.)
    """

    def __init__(self, output: Output) -> None:
        """Draw on `output`, which stays the caller's."""
        self._output = output
        self._live = Live(
            console=_Terminal(file=cast("IO[str]", output), force_terminal=True, highlight=False, markup=False),
            auto_refresh=False,
            transient=True,  # the result takes its place
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def show(self, frame: Frame) -> None:
        """Draw a frame over the one before."""
        if not is_in_foreground(self._output.fd):
            return
        if not self._live.is_started:
            self._live.start()
        self._live.update(_drawn(frame), refresh=True)

    def line(self, text: str) -> None:
        """Write a line above the view."""
        self._live.console.print(Text(text))

    def close(self) -> None:
        """Take the view away."""
        self._live.stop()


class _Terminal(Console):
    @property
    def size(self) -> ConsoleDimensions:
        """The size of the terminal that is drawn on; rich asks stdin first, which may be another one or none."""
        try:
            columns, rows = os.get_terminal_size(self.file.fileno())
        except OSError:
            columns = rows = 0
        return ConsoleDimensions(columns or 80, rows or 24)  # zero: `script`, some build servers

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        """Refuse: the terminal decides."""
        raise AttributeError("size")

    def show_cursor(self, show: bool = True) -> bool:
        """Leave the cursor alone: a crawl that is killed must not leave a terminal without one."""
        return False


def _drawn(frame: Frame) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    for number, (label, value) in enumerate(frame.rows()):
        text.append("\n" if number else "")
        text.append(f"{label:{_LABEL_WIDTH}}", style="cyan")
        text.append(value, style="red" if label == "failed" and frame.snapshot.failed else "")
    return text
