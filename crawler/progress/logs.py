"""What the packages log, shown beside the progress and safe for a terminal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crawler.progress.text import printable


class LineHandler(logging.Handler):
    """Writes each line of a record, tracebacks included, through `write`, with control characters escaped."""

    def __init__(self, write: Callable[[str], None], level: int) -> None:
        super().__init__(level)
        self._write = write
        self.setFormatter(logging.Formatter("%(levelname)s: %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        first, *rest = self.format(record).split("\n")
        self._write(f"crawl: {printable(first)}")
        for line in rest:
            self._write(f"  {printable(line)}")


@contextmanager
def logged(write: Callable[[str], None], *, quiet: bool) -> Iterator[None]:
    """Show warnings and errors, or errors only, of all loggers while the block runs."""
    handler = LineHandler(write, logging.ERROR if quiet else logging.WARNING)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
